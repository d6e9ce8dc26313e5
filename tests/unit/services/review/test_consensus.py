"""Consensus of labels: equal to a full recomputation, at a cost that does not grow with the labels."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as rules
from hypothesis import strategies as st

from recognizer.models import Label, LabelKind, LabelReason, Submission, TruthState, Verdict, Vote
from recognizer.services.identity.actors import Actor
from recognizer.services.review import labels, queue
from recognizer.services.submissions.bulk_delete import delete_submissions
from tests.factories import make_prediction, make_submission

pytestmark = pytest.mark.django_db

VISITOR = Actor(visitor="a" * 32)


def reviewers(count: int) -> list[Actor]:
    group = Group.objects.get(name="reviewer")
    actors = [Actor(user=User.objects.create(username=f"reviewer {number}")) for number in range(count)]
    for actor in actors:
        actor.user.groups.add(group)
    return actors


def consensus_from_all_labels(digest: str) -> dict[int, tuple[str, str]]:
    """Return the consensus of every copy, computed from all labels of all copies as release 0.9.0 did."""
    copies = list(Submission.objects.filter(digest=digest))
    votes: dict[tuple, str] = {}
    suggestions = {}
    active_labels = Label.objects.filter(submission__in=copies, value__gt="", retraction__isnull=True)
    for label in active_labels.order_by("id"):
        if label.kind == LabelKind.REVIEW:
            votes[label.user_id, label.visitor] = label.value
        else:
            suggestions[label.submission_id] = label.value
    recent = Label.objects.filter(kind=LabelKind.REVIEW, user__is_active=True)
    active = recent.values("user").distinct().count()
    return {
        copy.pk: _expected_consensus(copy, Counter(votes.values()), suggestions.get(copy.pk), active) for copy in copies
    }


def _expected_consensus(copy: Submission, votes: Counter[str], suggestion: str | None, active: int) -> tuple[str, str]:
    if not votes:
        return (suggestion, TruthState.PROVISIONAL) if suggestion else ("", TruthState.NONE)
    ranked = votes.most_common()
    if len(ranked) > 1 and ranked[0][1] == ranked[1][1]:
        return "", TruthState.DISPUTED
    value, count = ranked[0]
    contradicts = copy.verdict == Verdict.SURE and value != str(copy.digit)
    return value, TruthState.PROVISIONAL if count == 1 and contradicts and active > 1 else TruthState.SETTLED


def stored_consensus(digest: str) -> dict[int, tuple[str, str]]:
    rows = Submission.objects.filter(digest=digest)
    return {pk: (truth, state) for pk, truth, state in rows.values_list("pk", "truth", "truth_state")}


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["suggest", "review", "review", "retract", "copy", "erase", "leave"]),
        st.integers(0, 3),
        st.integers(0, 2),
        st.sampled_from("178"),
    ),
    max_size=14,
)


@pytest.mark.sqlite_only
@rules(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_consensus_matches_full_recomputation(db: None, steps: list[tuple]) -> None:
    with transaction.atomic():
        people = reviewers(3)
        first = make_submission(VISITOR)
        make_prediction(first)  # a sure 7
        for step, number, person, value in steps:
            copies = list(Submission.objects.filter(digest=first.digest).order_by("pk"))
            copy = copies[number % len(copies)] if copies else None
            actor = VISITOR if step == "suggest" else people[person]
            if step == "copy":
                make_submission(VISITOR, digest=first.digest)
            elif step == "leave":
                User.objects.filter(pk=actor.user.pk).delete()
                people[person] = reviewer_account(person)
            elif copy is None:
                continue
            elif step == "erase":
                delete_submissions(Submission.objects.filter(pk=copy.pk))
            elif step == "retract":
                last = Label.objects.active().filter(submission=copy).order_by("-id").first()
                if last is None or (last.kind == LabelKind.REVIEW and last.user is None):
                    continue
                labels.retract(actor=Actor(user=last.user) if last.user else VISITOR, label=last)
                assert_consensus(copy, is_review=last.kind == LabelKind.REVIEW)
            else:
                recorded = labels.record_label(actor=actor, submission=copy, value=value, reason=LabelReason.API)
                if recorded.is_new:  # a repeated label changes nothing, also after an account was deleted
                    assert_consensus(copy, is_review=step == "review")
        transaction.set_rollback(True)


def reviewer_account(person: int) -> Actor:
    user = User.objects.create(username=f"reviewer {person} {User.objects.count()}")
    user.groups.add(Group.objects.get(name="reviewer"))
    return Actor(user=user)


def assert_consensus(labelled: Submission, *, is_review: bool) -> None:
    """Compare one submission after a suggestion, all copies after a review."""
    expected, actual = consensus_from_all_labels(labelled.digest), stored_consensus(labelled.digest)
    assert actual[labelled.pk] == expected[labelled.pk]
    if is_review:
        assert actual == expected


@pytest.mark.both_databases
def test_migration_creates_votes_from_existing_labels() -> None:
    first_reviewer, second_reviewer = reviewers(2)
    submission = make_submission(VISITOR)
    for actor, value in ((first_reviewer, "1"), (second_reviewer, "2"), (first_reviewer, "3")):
        last = labels.record_label(actor=actor, submission=submission, value=value, reason=LabelReason.API).label
    labels.retract(actor=first_reviewer, label=last)
    gone = Actor(user=User.objects.create_superuser("gone"))
    labels.record_label(actor=gone, submission=submission, value="1", reason=LabelReason.API)
    User.objects.filter(pk=gone.user.pk).delete()
    expected = set(Vote.objects.values_list("digest", "user", "label"))
    assert len(expected) == 3
    standing = set(Label.objects.active().values_list("pk", flat=True))
    Vote.objects.all().delete()
    Label.objects.update(stands=True)
    import_module("recognizer.migrations.0014_votes").derive(apps, None)
    assert set(Vote.objects.values_list("digest", "user", "label")) == expected
    assert set(Label.objects.filter(stands=True).values_list("pk", flat=True)) == standing


# --- Cost -------------------------------------------------------------------------------------------------------------


class Steps:
    """Counts the instructions of SQLite's virtual machine in hundreds, which do not depend on the computer."""

    def __enter__(self) -> Steps:
        self.count = 0
        connection.connection.set_progress_handler(self._add, 100)
        return self

    def _add(self) -> int:
        self.count += 1
        return 0

    def __exit__(self, *_error: object) -> None:
        connection.connection.set_progress_handler(None, 100)


def add_labels(submission: Submission, *, actor: Actor, count: int) -> None:
    """Add labels one after the other, half of them retracted."""
    kind = LabelKind.REVIEW if actor.user else LabelKind.SUGGESTION
    common = {"submission": submission, "kind": kind, "reason": LabelReason.API}
    common |= {"user": actor.user, "visitor": actor.visitor}
    Label.objects.bulk_create([Label(**common, value=str(number % 10)) for number in range(count)])
    last = Label.objects.filter(submission=submission).order_by("-id")[: count // 2]
    retracted = [label.pk for label in last]
    Label.objects.filter(pk__in=retracted).update(stands=False)
    Label.objects.bulk_create([Label(**common, value="", retracts_id=pk, stands=False) for pk in retracted])


OPERATIONS = ("suggest", "repeat", "retract", "review", "retract review", "decide", "undo")


@pytest.mark.sqlite_only
def test_label_cost_does_not_grow_with_labels() -> None:
    """With 4,000 labels of a submission, each further one used to take eight times as long, under the write lock."""
    reviewer, other = reviewers(2)
    submission = make_submission(VISITOR)
    make_prediction(submission)
    for actor in (VISITOR, reviewer, other):
        labels.record_label(actor=actor, submission=submission, value="7", reason=LabelReason.API)
    costs = {operation: defaultdict(list) for operation in OPERATIONS}
    for count in (10, 1000):
        for actor in (VISITOR, other, reviewer):
            add_labels(submission, actor=actor, count=count)
        Vote.objects.all().delete()
        import_module("recognizer.migrations.0014_votes").derive(apps, None)
        for operation, turn in itertools.product(OPERATIONS, range(2)):
            with transaction.atomic(), Steps() as steps:
                perform_operation(operation, submission, reviewer, value=str(turn + 1))
                transaction.set_rollback(True)
            costs[operation][count].append(steps.count)
    for operation, counts in costs.items():
        assert min(counts[1000]) <= 1.5 * min(counts[10]) + 10, (operation, counts)


def perform_operation(operation: str, submission: Submission, reviewer: Actor, *, value: str) -> None:
    actor = reviewer if "review" in operation else VISITOR
    if operation == "decide":
        labels.record_label(actor=reviewer, submission=submission, value=value, reason=LabelReason.API)
    elif operation == "undo":
        queue.undo(actor=reviewer, submission=submission)
    elif operation.startswith("retract"):
        label = labels.find_last_labels(actor, [submission])[submission.pk]
        labels.retract(actor=actor, label=label)
    else:
        if operation == "repeat":
            value = labels.find_last_labels(actor, [submission])[submission.pk].value
        labels.record_label(actor=actor, submission=submission, value=value, reason=LabelReason.API)


@pytest.mark.sqlite_only
def test_suggestion_cost_does_not_grow_with_copies() -> None:
    costs = {}
    submission = make_submission(VISITOR)
    for count in (1, 2000):
        Submission.objects.bulk_create(
            Submission(
                digest=submission.digest,
                source="api",
                picture=submission.picture,
                picture_type="image/png",
                picture_width=280,
                picture_height=280,
                fold=submission.fold,
                pixels=b"",
                preprocessing_version=1,
            )
            for _ in range(count)
        )
        with Steps() as steps:
            labels.record_label(actor=VISITOR, submission=submission, value=str(count % 7), reason=LabelReason.API)
        costs[count] = steps.count
    assert costs[2000] <= 1.5 * costs[1] + 10, costs

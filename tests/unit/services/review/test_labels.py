"""Labels and their consensus."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone

from recognizer.models import Label, LabelKind, LabelReason, Scope, Submission, TruthState
from recognizer.models.labels import AppendOnlyError
from recognizer.services.identity.actors import Actor
from recognizer.services.review import labels
from tests.factories import make_prediction, make_submission

pytestmark = pytest.mark.django_db


@pytest.fixture
def second_reviewer() -> Actor:
    user = User.objects.create_user("rolf")
    user.groups.add(Group.objects.get(name="reviewer"))
    return Actor(user=user)


@pytest.fixture
def submission(visitor: Actor) -> Submission:
    return make_submission(visitor)


def add_label(actor: Actor, submission: Submission, value: str) -> Label:
    return labels.record_label(actor=actor, submission=submission, value=value, reason=LabelReason.DOUBT).label


def consensus(submission: Submission) -> tuple[str, str]:
    submission.refresh_from_db()
    return submission.truth, submission.truth_state


def test_new_submission_has_no_consensus(submission):
    assert consensus(submission) == ("", TruthState.NONE)


def test_label_of_visitor_is_provisional(visitor, submission):
    label = add_label(visitor, submission, "7")
    assert label.kind == LabelKind.SUGGESTION
    assert consensus(submission) == ("7", TruthState.PROVISIONAL)


def test_label_of_reviewer_is_settled(reviewer, submission):
    label = add_label(reviewer, submission, "7")
    assert label.kind == LabelKind.REVIEW
    assert consensus(submission) == ("7", TruthState.SETTLED)


def test_reviewer_settles_their_own_drawing(reviewer):
    own = make_submission(reviewer)
    labels.record_label(actor=reviewer, submission=own, value="4", reason=LabelReason.OWN_PAGE)
    assert consensus(own) == ("4", TruthState.SETTLED)


def test_review_overrides_suggestions(visitor, reviewer, submission):
    add_label(reviewer, submission, "1")
    add_label(visitor, submission, "7")
    assert consensus(submission) == ("1", TruthState.SETTLED)


def test_review_is_recorded_after_an_equal_suggestion_of_the_same_account(visitor, submission):
    user = User.objects.create_user("ann")
    suggestion = add_label(Actor(user=user, visitor=visitor.visitor), submission, "7")
    user.groups.add(Group.objects.get(name="reviewer"))
    review = add_label(Actor(user=User.objects.get(pk=user.pk)), submission, "7")
    assert (suggestion.kind, review.kind) == (LabelKind.SUGGESTION, LabelKind.REVIEW)
    assert consensus(submission) == ("7", TruthState.SETTLED)


def test_repeated_label_is_recorded_once(visitor, reviewer, submission):
    for actor in (visitor, reviewer):
        assert add_label(actor, submission, "7") == add_label(actor, submission, "7")
    assert Label.objects.count() == 2


def test_label_of_a_deleted_submission_is_rejected(reviewer, submission):
    Submission.objects.filter(pk=submission.pk).delete()
    with pytest.raises(labels.LabelError, match="deleted"):
        add_label(reviewer, submission, "7")


def test_stranger_cannot_label_visitors_drawing(stranger, submission):
    with pytest.raises(labels.NotAllowedError):
        add_label(stranger, submission, "7")
    assert not Label.objects.exists()
    assert consensus(submission) == ("", TruthState.NONE)


def test_invalid_label_is_rejected(reviewer, submission):
    with pytest.raises(labels.LabelError, match="not_a_digit"):
        add_label(reviewer, submission, "12")
    assert not Label.objects.exists()


def test_newer_label_replaces_older_and_keeps_history(reviewer, submission):
    add_label(reviewer, submission, "1")
    add_label(reviewer, submission, "7")
    assert consensus(submission) == ("7", TruthState.SETTLED)
    assert [row.value for row in submission.labels.all()] == ["1", "7"]


def test_retraction_restores_previous_label(reviewer, submission):
    add_label(reviewer, submission, "1")
    wrong = add_label(reviewer, submission, "7")
    labels.retract(actor=reviewer, label=wrong)
    assert consensus(submission) == ("1", TruthState.SETTLED)
    assert submission.labels.count() == 3


def test_retracting_all_labels_leaves_no_consensus(reviewer, submission):
    labels.retract(actor=reviewer, label=add_label(reviewer, submission, "1"))
    assert consensus(submission) == ("", TruthState.NONE)


def test_label_of_another_person_cannot_be_retracted(reviewer, visitor, stranger, submission):
    label = add_label(visitor, submission, "1")
    for other in (reviewer, stranger, Actor()):
        with pytest.raises(labels.NotAllowedError):
            labels.retract(actor=other, label=label)
    assert consensus(submission) == ("1", TruthState.PROVISIONAL)


def test_token_can_retract_only_labels_within_its_scopes(reviewer, submission):
    review = add_label(reviewer, submission, "1")
    with pytest.raises(labels.NotAllowedError):
        labels.retract(actor=replace(reviewer, scopes=frozenset({Scope.SUBMIT})), label=review)
    assert consensus(submission) == ("1", TruthState.SETTLED)
    labels.retract(actor=replace(reviewer, scopes=frozenset({Scope.REVIEW})), label=review)
    assert consensus(submission) == ("", TruthState.NONE)


def test_label_cannot_be_retracted_twice(reviewer, submission):
    label = add_label(reviewer, submission, "1")
    retraction = labels.retract(actor=reviewer, label=label)
    for retracted in (label, retraction):
        with pytest.raises(labels.LabelError):
            labels.retract(actor=reviewer, label=retracted)


def test_labels_are_immutable(reviewer, submission):
    label = add_label(reviewer, submission, "1")
    label.value = "2"
    with pytest.raises(AppendOnlyError):
        label.save()


def test_third_reviewer_decides_dispute(reviewer, second_reviewer, operator, submission):
    add_label(reviewer, submission, "1")
    add_label(second_reviewer, submission, "7")
    assert consensus(submission) == ("", TruthState.DISPUTED)
    add_label(operator, submission, "7")
    assert consensus(submission) == ("7", TruthState.SETTLED)


def test_contradicting_sure_prediction_needs_second_reviewer(reviewer, second_reviewer, visitor, submission):
    add_label(second_reviewer, make_submission(visitor), "3")
    make_prediction(submission)
    add_label(reviewer, submission, "1")
    assert consensus(submission) == ("1", TruthState.PROVISIONAL)
    add_label(second_reviewer, submission, "1")
    assert consensus(submission) == ("1", TruthState.SETTLED)


def test_single_reviewer_settles_against_sure_prediction(reviewer, submission):
    make_prediction(submission)
    add_label(reviewer, submission, "1")
    assert consensus(submission) == ("1", TruthState.SETTLED)


def test_inactive_reviewer_is_not_required(reviewer, second_reviewer, visitor, submission):
    old = add_label(second_reviewer, make_submission(visitor), "3")
    Label.objects.filter(pk=old.pk).update(created=timezone.now() - timedelta(days=31))
    make_prediction(submission)
    add_label(reviewer, submission, "1")
    assert consensus(submission) == ("1", TruthState.SETTLED)


def test_visitor_label_is_moved_to_account_at_login(visitor, submission):
    label = add_label(visitor, submission, "1")
    signed_in = Actor(user=User.objects.create_user("ann"), visitor=visitor.visitor)
    labels.retract(actor=signed_in, label=label)
    assert consensus(submission) == ("", TruthState.NONE)

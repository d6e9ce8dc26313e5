"""Review queue: selection and leasing of the next submissions for a reviewer, skip and undo.

Items are leased, so that two reviewers never get the same one at a time; an item is free again when its lease expires.
RULES lists the rules. A random share, drawn mainly from the holdout fold, is mixed into each of them. Accuracy on real
traffic is computed from that share alone, because a queue sorted by doubt is a biased sample.

Candidates are selected by id from covering indexes; only leased items are read in full.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import CharField, Count, Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Cast
from django.utils import timezone

from recognizer.models import (
    Fold,
    Label,
    LabelReason,
    Lease,
    Prediction,
    Skip,
    Submission,
    TruthState,
    Verdict,
)
from recognizer.services.identity import permissions
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.throttling import Kind, limit_rate

from . import labels
from .consensus import resolve_single_reviewer, reviewed_digests, update_consensus

# Long enough to decide on a difficult image, short enough that abandoned items soon reach another reviewer.
LEASE_DURATION = timedelta(minutes=10)
# A single reviewer sees a label that contradicts a sure prediction again, but not while they remember the decision.
SECOND_LOOK_AFTER = timedelta(days=1)
# Part of the random share that comes from the holdout fold, whose labels measure accuracy. Other labels also train.
HOLDOUT_SHARE_OF_RANDOM = 0.8
# Extra candidates, in place of copies of settled images and items that other reviewers lease at the same time.
SPARE_CANDIDATES = 8
MAX_BATCH_SIZE = 60

RULES: dict[LabelReason, str] = {
    LabelReason.DOUBT: "Second opinions, what visitors contradicted, then the answers with the smallest lead.",
    LabelReason.DISAGREEMENT: "Where model versions gave different digits.",
    LabelReason.SUSPECT: "Settled labels that the live model contradicts although it is sure.",
    LabelReason.NEWEST: "The newest first.",
    LabelReason.RANDOM: "At random, mainly from the holdout fold.",
}
# Shown without the prediction and without other labels, so that the second decision is independent.
BLIND_REASONS = (LabelReason.SECOND_OPINION, LabelReason.SUSPECT)
QUEUE_REASONS = (*RULES, *BLIND_REASONS, LabelReason.SUGGESTION, LabelReason.GRID)


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """A submission that is leased to a reviewer.

    Attributes:
        submission: The submission with its latest prediction.
        reason: Why the queue selected it.
        blind: Whether to hide the prediction and other labels.
    """

    submission: Submission
    reason: LabelReason
    blind: bool = False

    @property
    def why(self) -> str:
        """Reason as text. Does not say that a label is suspect, which would bias the reviewer."""
        return "Second look" if self.reason in BLIND_REASONS else self.reason.label

    @property
    def answer(self) -> Prediction | None:
        """Latest prediction, or None if the item is blind."""
        return None if self.blind else self.submission.latest_prediction

    @property
    def suggestion(self) -> str:
        """Provisional label, or "" if the item is blind."""
        return "" if self.blind else self.submission.truth


@limit_rate(Kind.CHANGE)
def lease_next(
    *, actor: Actor, rule: LabelReason, count: int = 2, randomness: random.Random | None = None
) -> list[ReviewItem]:
    """Return the next items of a reviewer: those they have leases on, then new ones by `rule` and the random share.

    Args:
        actor: The reviewer.
        rule: A key of RULES.
        count: Number of items, limited to MAX_BATCH_SIZE.
        randomness: Random number generator; the system's by default.

    Raises:
        NotAllowedError: The actor may not review.
        KeyError: `rule` is not in RULES.
    """
    permissions.require_reviewer(actor)
    RULES[rule]
    randomness = randomness or random.SystemRandom()
    count = min(count, MAX_BATCH_SIZE)
    leased = _leased_items(_active_leases(actor).exclude(reason=LabelReason.GRID), count)
    missing = count - len(leased)
    is_random = [
        rule == LabelReason.RANDOM or randomness.random() < settings.REVIEW_RANDOM_SHARE for _ in range(missing)
    ]
    by_rule = _lease_candidates(actor, _candidates_by_rule(rule, actor), missing - sum(is_random))
    if rule == LabelReason.DOUBT and len(by_rule) < missing - sum(is_random):
        resolve_single_reviewer()
    if not sum(is_random) or not (leased or by_rule or sum(is_random) == missing):
        # The random share is mixed into a rule's items; it does not replace them when there are none.
        return _to_items(leased + by_rule)
    at_random = _lease_candidates(actor, _random_sample(actor, randomness), sum(is_random))
    if len(at_random) < sum(is_random):
        by_rule += _lease_candidates(actor, _candidates_by_rule(rule, actor), missing - len(by_rule) - len(at_random))
    return _to_items(leased + _interleave(by_rule, at_random, is_random))


@limit_rate(Kind.CHANGE)
def lease_grid(*, actor: Actor, digit: int, count: int = MAX_BATCH_SIZE) -> list[ReviewItem]:
    """Lease up to `count` submissions that were predicted as `digit`, highest doubt first.

    The actor's leases of other digits' grids are released.

    Raises:
        NotAllowedError: The actor may not review.
    """
    permissions.require_reviewer(actor)
    Lease.objects.filter(reviewer=actor.user, reason=LabelReason.GRID).exclude(submission__digit=digit).delete()
    leased = _leased_items(_active_leases(actor).filter(reason=LabelReason.GRID), count)
    rows = _unreviewed(_grid_candidates().filter(digit=digit), actor).order_by("-doubt", "-id")
    return _to_items(leased + _lease_candidates(actor, [(LabelReason.GRID, rows)], count - len(leased)))


@limit_rate(Kind.CHANGE)
@transaction.atomic
def skip(*, actor: Actor, submission: Submission) -> None:
    """Skip a submission: this reviewer sees it again only if the queue is otherwise empty.

    Raises:
        NotAllowedError: The actor may not review.
    """
    permissions.require_reviewer(actor)
    Lease.objects.filter(reviewer=actor.user, submission=submission).delete()
    Skip.objects.get_or_create(reviewer=actor.user, submission=submission)


@limit_rate(Kind.CHANGE)
@transaction.atomic
def undo(*, actor: Actor, submission: Submission) -> ReviewItem | None:
    """Retract the actor's label or skip of a submission, and lease the submission to them again.

    Returns:
        The leased item, or None if another reviewer has a lease on it.

    Raises:
        NotAllowedError: The actor may not review.
    """
    permissions.require_reviewer(actor)
    Skip.objects.filter(reviewer=actor.user, submission=submission).delete()
    label = labels.find_last_labels(actor, [submission]).get(submission.pk)
    if label is not None:
        labels.add_retraction(actor=actor, label=label)
    own_leases = Lease.objects.filter(reviewer=actor.user, digest=submission.digest)
    shown = label or own_leases.filter(submission=submission).first()
    own_leases.delete()
    reason = LabelReason.NEWEST if shown is None else LabelReason(shown.reason)
    leased = _to_items(_create_leases(actor, reason, [(submission.pk, submission.digest)]))
    return leased[0] if leased else None


def last_decided(actor: Actor) -> Submission | None:
    """Return the submission of the actor's newest decision in the queue that was not retracted."""
    decided = Label.objects.active().filter(user=actor.user, reason__in=QUEUE_REASONS).order_by("-id")
    last = decided.select_related("submission").first()
    return last.submission if last else None


def grid_sizes() -> dict[int, int]:
    """Return the number of submissions that wait in the grid of each digit."""
    counts = _grid_candidates().order_by().values_list("digit").annotate(count=Count("id"))
    return dict.fromkeys(range(10), 0) | dict(counts)


def count_waiting() -> int:
    """Return the number of submissions that have a prediction and no settled label."""
    return _unsettled().count()


# --- Leases ----------------------------------------------------------------------------------------------------------

# Primary key of a submission, and the reason for which it is shown.
LeasedItem = tuple[int, LabelReason]
Candidates = Iterable[tuple[LabelReason, QuerySet[Submission]]]


def _active_leases(actor: Actor) -> QuerySet[Lease]:
    # Newest first, so that an item whose decision was undone is shown first.
    return Lease.objects.filter(reviewer=actor.user, expires__gt=timezone.now()).order_by("-expires", "id")


def _leased_items(leases: QuerySet[Lease], count: int) -> list[LeasedItem]:
    return [(pk, LabelReason(reason)) for pk, reason in leases.values_list("submission", "reason")[:count]]


def _lease_candidates(actor: Actor, groups: Candidates, count: int) -> list[LeasedItem]:
    """Lease up to `count` candidates that are free, from the groups in order."""
    leased: list[LeasedItem] = []
    unavailable = dict(Lease.objects.filter(expires__gt=timezone.now()).values_list("submission", "digest"))
    visited, digests = set(unavailable), set(unavailable.values())
    for reason, candidates in groups if count else ():
        while len(leased) < count:
            missing = count - len(leased)
            ids = list(candidates.exclude(pk__in=visited).values_list("pk", flat=True)[: missing + SPARE_CANDIDATES])
            visited.update(ids)
            leased += _create_leases(actor, reason, _deduplicate(ids, digests)[:missing])
            if len(ids) < missing + SPARE_CANDIDATES:
                break
        if len(leased) == count:
            break
    return leased


def _deduplicate(ids: Sequence[int], digests: set[str]) -> list[tuple[int, str]]:
    """Return the first submission of each digest, and settle copies of images with a settled label.

    Args:
        ids: Primary keys of candidates.
        digests: Digests to leave out; those of the result are added.

    Returns:
        Primary key and digest of each submission.
    """
    rows = {pk: (digest, state) for pk, digest, state in _digests_and_states(Submission.objects.filter(pk__in=ids))}
    unsettled = {digest for digest, state in rows.values() if state != TruthState.SETTLED}
    settled = {
        digest
        for _, digest, state in _digests_and_states(Submission.objects.filter(digest__in=unsettled))
        if state == TruthState.SETTLED
    }
    copies = [pk for pk, (digest, _) in rows.items() if digest in settled]
    if copies:
        update_consensus(list(Submission.objects.filter(pk__in=copies).only("digest")))
        digests |= settled
    first = []
    for pk in ids:
        digest = rows[pk][0] if pk in rows else None
        if digest and digest not in digests:
            digests.add(digest)
            first.append((pk, digest))
    return first


def _digests_and_states(rows: QuerySet[Submission]) -> Iterable[tuple[int, str, str]]:
    return rows.order_by().values_list("pk", "digest", "truth_state")


def _create_leases(actor: Actor, reason: LabelReason, free: Sequence[tuple[int, str]]) -> list[LeasedItem]:
    """Lease submissions, given by primary key and digest, and return those that no other reviewer leased first."""
    now = timezone.now()
    expires = now + LEASE_DURATION
    Lease.objects.filter(digest__in=[digest for _, digest in free], expires__lte=now).delete()
    # The unique digest decides between concurrent reviewers.
    Lease.objects.bulk_create(
        (
            Lease(submission_id=pk, digest=digest, reviewer=actor.user, reason=reason, expires=expires)
            for pk, digest in free
        ),
        ignore_conflicts=True,
    )
    created = Lease.objects.filter(reviewer=actor.user, expires=expires, submission__in=[pk for pk, _ in free])
    created_ids = set(created.values_list("submission", flat=True))
    return [(pk, reason) for pk, _ in free if pk in created_ids]


def _to_items(leased: Sequence[LeasedItem]) -> list[ReviewItem]:
    rows = Submission.objects.filter(pk__in=[pk for pk, _ in leased]).with_latest_prediction().without_large_columns()
    submissions = {submission.pk: submission for submission in rows}
    digests = reviewed_digests({row.digest for row in rows})
    return [
        ReviewItem(submissions[pk], reason, blind=reason in BLIND_REASONS or submissions[pk].digest in digests)
        for pk, reason in leased
        if pk in submissions  # others were deleted
    ]


def _interleave(
    by_rule: Iterable[LeasedItem], at_random: Iterable[LeasedItem], is_random: Iterable[bool]
) -> list[LeasedItem]:
    """Merge both lists, with random items at the positions where `is_random` is true as far as there are any."""
    by_rule, at_random = iter(by_rule), iter(at_random)
    merged = [next(at_random, None) or next(by_rule, None) if pick else next(by_rule, None) for pick in is_random]
    return [item for item in [*merged, *at_random, *by_rule] if item]


# --- Rules -----------------------------------------------------------------------------------------------------------


def _candidates_by_rule(rule: LabelReason, actor: Actor) -> Iterator[tuple[LabelReason, QuerySet[Submission]]]:
    """Yield groups of candidates in order, each with the reason that its labels will get."""
    if rule == LabelReason.SUSPECT:
        yield rule, _suspects(actor)
        return
    # Submissions that this reviewer skipped come last.
    for skipped in (False, True):
        free = _unreviewed(_unsettled(), actor, skipped=skipped)
        if rule == LabelReason.DISAGREEMENT:
            yield rule, free.filter(models_disagree=True).order_by("-doubt", "-id")
        elif rule == LabelReason.NEWEST:
            yield rule, free.order_by("-id")
        elif rule == LabelReason.DOUBT:
            open_labels = free.filter(truth_state__in=[TruthState.PROVISIONAL, TruthState.DISPUTED])
            yield LabelReason.SECOND_OPINION, open_labels.filter(_has_review()).order_by("id")
            yield LabelReason.SUSPECT, _suspects(actor)
            yield LabelReason.SUGGESTION, open_labels.filter(~_has_review()).order_by("-doubt", "-id")
            yield LabelReason.DOUBT, free.filter(truth_state=TruthState.NONE).order_by("-doubt", "-id")


def _random_sample(actor: Actor, randomness: random.Random) -> Iterator[tuple[LabelReason, QuerySet[Submission]]]:
    """Yield groups of candidates in random order.

    Digests are uniform, so the row that follows a random digest is a fair draw, which an index finds.
    """
    folds = [Fold.HOLDOUT, Fold.TRAIN]
    if randomness.random() >= HOLDOUT_SHARE_OF_RANDOM:
        folds.reverse()
    pivot = f"{randomness.getrandbits(256):064x}"
    free = _unreviewed(_unsettled(), actor).order_by("digest")
    for fold in folds:
        yield LabelReason.RANDOM, free.filter(fold=fold, digest__gte=pivot)
        yield LabelReason.RANDOM, free.filter(fold=fold)


def _unsettled() -> QuerySet[Submission]:
    # With "not settled" the planner scans an index in order; with the other states it would sort most of the table.
    return Submission.objects.filter(~Q(truth_state=TruthState.SETTLED), doubt__isnull=False)


def _grid_candidates() -> QuerySet[Submission]:
    """Return submissions that were predicted as a digit and have no label."""
    digits = [Verdict.SURE, Verdict.UNSURE]
    return Submission.objects.filter(truth_state=TruthState.NONE, truth="", verdict__in=digits)


def _has_review() -> Exists:
    return Exists(Label.objects.active().reviews().filter(submission=OuterRef("pk")))


def _unreviewed(submissions: QuerySet[Submission], actor: Actor, *, skipped: bool = False) -> QuerySet[Submission]:
    """Narrow down to submissions that this reviewer has not reviewed, and has or has not skipped."""
    reviews = Label.objects.active().reviews().filter(submission=OuterRef("pk"), user=actor.user)
    is_skipped = Exists(Skip.objects.filter(submission=OuterRef("pk"), reviewer=actor.user))
    return submissions.filter(~Exists(reviews), is_skipped if skipped else ~is_skipped)


def _suspects(actor: Actor) -> QuerySet[Submission]:
    """Return submissions whose settled label contradicts a sure prediction, and which had no blind review yet.

    A reviewer does not get them within SECOND_LOOK_AFTER of their own review.
    """
    reviews = Label.objects.reviews().filter(submission=OuterRef("pk"))
    recent = reviews.filter(user=actor.user, created__gt=timezone.now() - SECOND_LOOK_AFTER)
    contradicted = (
        Submission.objects.settled().digits().filter(~Q(truth=Cast(F("digit"), CharField())), verdict=Verdict.SURE)
    )
    return contradicted.filter(~Exists(recent), ~Exists(reviews.filter(reason__in=BLIND_REASONS))).order_by("-id")

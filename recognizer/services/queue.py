"""The review queue: which submission a reviewer sees next, and why.

A reviewer's next items are leased, so that two reviewers never have the same one in front of them; a lease that runs
out gives its item back. Every rule is stated in RULES, and a random share, drawn mainly from the holdout fold, is
mixed into each of them: accuracy on real traffic is computed from that share alone, because a doubt-first queue is a
biased sample. Called by the review page and the JSON API.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import CharField, Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Cast
from django.utils import timezone

from recognizer.models import (
    Fold,
    Label,
    LabelKind,
    LabelReason,
    Lease,
    Prediction,
    Skip,
    Submission,
    SubmissionState,
    TruthState,
    Verdict,
)

from .actors import Actor
from .labels import NotAllowedError, settle

# Long enough to think about one hard picture, short enough that what a reviewer left behind is soon seen by another.
LEASE = timedelta(minutes=10)
# A lone reviewer sees a contradicted sure answer a second time, but not while the first decision is still in mind.
SECOND_LOOK_AFTER = timedelta(days=1)
# Of the random share, how much comes from the holdout fold: these labels measure, the others also train.
HOLDOUT_SHARE_OF_RANDOM = 0.8
# Candidates looked at together: enough to step over those that other reviewers take at this very moment.
SOME = 8

RULES: dict[LabelReason, str] = {
    LabelReason.DOUBT: "What visitors contradicted first, then the answers with the smallest lead.",
    LabelReason.DISAGREEMENT: "Model versions gave different digits.",
    LabelReason.SUSPECT: "Settled labels that the live model contradicts although it is sure.",
    LabelReason.NEWEST: "The newest first.",
    LabelReason.RANDOM: "At random, mainly from the holdout fold.",
}


@dataclass(frozen=True, slots=True)
class Item:
    """One submission in front of one reviewer. `blind`: show neither the answer nor what others said."""

    submission: Submission
    reason: LabelReason

    @property
    def blind(self) -> bool:
        return self.reason in (LabelReason.SECOND_OPINION, LabelReason.SUSPECT)


def take(*, actor: Actor, rule: LabelReason, count: int = 2, randomness: random.Random | None = None) -> list[Item]:
    """Lease the next items of `actor`: those leased to them before, then new ones by `rule` and the random share.

    Args:
        count: how many items the reviewer wants to have at hand.
        randomness: where chance comes from; a test gives its own.

    Raises:
        NotAllowedError: the actor may not review.
        KeyError: `rule` is none of RULES.
    """
    if not actor.is_reviewer:
        raise NotAllowedError("Only reviewers have a review queue.")
    RULES[rule]
    randomness = randomness or random.SystemRandom()
    held = list(_held(actor).select_related("submission__latest_prediction__version")[:count])
    items = [Item(lease.submission, LabelReason(lease.reason)) for lease in held]
    while len(items) < count:
        item = _lease_one(actor, rule, randomness)
        if item is None:
            break
        items.append(item)
    return items


def leave(*, actor: Actor) -> None:
    """Give back everything that `actor` has leased."""
    Lease.objects.filter(reviewer=actor.user).delete()


@transaction.atomic
def skip(*, actor: Actor, submission: Submission) -> None:
    """Pass over `submission`: it goes to others, and to this reviewer only when nothing else is left."""
    Lease.objects.filter(reviewer=actor.user, submission=submission).delete()
    Skip.objects.get_or_create(reviewer=actor.user, submission=submission)


def reason_of(*, actor: Actor, submission: Submission) -> LabelReason | None:
    """Why the queue showed `submission` to `actor`, if it did."""
    lease = _held(actor).filter(submission=submission).first()
    return LabelReason(lease.reason) if lease else None


def done(*, actor: Actor, submission: Submission) -> None:
    """The reviewer decided: the lease has served."""
    Lease.objects.filter(reviewer=actor.user, submission=submission).delete()


def waiting() -> int:
    """How many submissions have an answer and no settled truth."""
    return _unsettled().count()


def _held(actor: Actor) -> QuerySet[Lease]:
    return Lease.objects.filter(reviewer=actor.user, expires__gt=timezone.now()).order_by("id")


def _lease_one(actor: Actor, rule: LabelReason, randomness: random.Random) -> Item | None:
    """Lease the first free candidate. Another reviewer may be a step ahead: then the next candidate is tried."""
    for reason, candidates in _offers(actor, rule, randomness):
        for submission in candidates[:SOME]:
            if _settled_as_a_copy(submission):
                continue
            if _lease(actor, submission, reason):
                return Item(submission, reason)
    return None


def _settled_as_a_copy(submission: Submission) -> bool:
    """A copy of a picture that was reviewed before takes over its truth, and nobody is asked again."""
    settled = TruthState.SETTLED
    if submission.truth_state == settled:
        return False
    if not Submission.objects.filter(digest=submission.digest, truth_state=settled).exists():
        return False
    settle(submission)
    return submission.truth_state == settled


def _lease(actor: Actor, submission: Submission, reason: LabelReason) -> bool:
    now = timezone.now()
    terms = {"submission": submission, "reviewer": actor.user, "reason": reason, "expires": now + LEASE}
    if Lease.objects.filter(digest=submission.digest, expires__lte=now).update(**terms):
        return True
    # The unique digest decides between two reviewers who come at the same moment.
    Lease.objects.bulk_create([Lease(digest=submission.digest, **terms)], ignore_conflicts=True)
    return Lease.objects.filter(submission=submission, reviewer=actor.user, expires=terms["expires"]).exists()


Offers = Iterator[tuple[LabelReason, QuerySet[Submission]]]


def _offers(actor: Actor, rule: LabelReason, randomness: random.Random) -> Offers:
    """Candidates to be tried in order, each with the reason that will stand beside the label."""
    if rule == LabelReason.RANDOM or randomness.random() < settings.REVIEW_RANDOM_SHARE:
        yield from _by_chance(actor, randomness)
    if rule != LabelReason.RANDOM:
        yield from _by_rule(rule, _free(_unsettled(), actor), actor)
        # What this reviewer passed over comes back only when nothing else is left.
        yield from _by_rule(rule, _free(_unsettled(), actor, skipped=True), actor)


def _by_rule(rule: LabelReason, free: QuerySet[Submission], actor: Actor) -> Offers:
    if rule == LabelReason.DOUBT:
        asked = free.filter(truth_state__in=[TruthState.PROVISIONAL, TruthState.DISPUTED])
        yield LabelReason.SECOND_OPINION, asked.filter(_reviewed()).order_by("id")
        yield LabelReason.SUGGESTION, asked.filter(~_reviewed()).order_by("-doubt", "-id")
        yield LabelReason.DOUBT, free.filter(truth_state=TruthState.NONE).order_by("-doubt", "-id")
    elif rule == LabelReason.DISAGREEMENT:
        other = Prediction.objects.filter(submission=OuterRef("pk")).exclude(digit=OuterRef("latest_prediction__digit"))
        yield rule, free.filter(Exists(other)).order_by("-doubt", "-id")
    elif rule == LabelReason.SUSPECT:
        yield rule, _suspects(actor).order_by("-id")
    else:
        yield rule, free.order_by("-id")


def _unsettled() -> QuerySet[Submission]:
    return Submission.objects.filter(
        state=SubmissionState.PREDICTED,
        truth_state__in=[TruthState.NONE, TruthState.PROVISIONAL, TruthState.DISPUTED],
    )


def _reviewed() -> Exists:
    return Exists(Label.objects.filter(submission=OuterRef("pk"), kind=LabelKind.REVIEW, value__gt=""))


def _in_front_of_somebody() -> Exists:
    """The submission or a copy of it is leased."""
    return Exists(Lease.objects.filter(digest=OuterRef("digest"), expires__gt=timezone.now()))


def _free(submissions: QuerySet[Submission], actor: Actor, *, skipped: bool = False) -> QuerySet[Submission]:
    """Those that nobody has in front of them, on which this reviewer said nothing yet, passed over by them or not."""
    mine = Label.objects.filter(submission=OuterRef("pk"), user=actor.user, retraction__isnull=True, value__gt="")
    passed_over = Exists(Skip.objects.filter(submission=OuterRef("pk"), reviewer=actor.user))
    return submissions.filter(
        ~_in_front_of_somebody(), ~Exists(mine), passed_over if skipped else ~passed_over
    ).select_related("latest_prediction")


def _suspects(actor: Actor) -> QuerySet[Submission]:
    """Settled truths that a sure answer contradicts, once more and blind: to somebody else, or later to the same."""
    recent = Label.objects.filter(
        submission=OuterRef("pk"), user=actor.user, created__gt=timezone.now() - SECOND_LOOK_AFTER
    )
    looked_again = Label.objects.filter(submission=OuterRef("pk"), reason=LabelReason.SUSPECT)
    return (
        Submission.objects.filter(
            Q(latest_prediction__verdict=Verdict.SURE), truth_state=TruthState.SETTLED, truth__regex=r"^[0-9]$"
        )
        .exclude(truth=Cast(F("latest_prediction__digit"), CharField()))
        .filter(~_in_front_of_somebody(), ~Exists(recent), ~Exists(looked_again))
        .select_related("latest_prediction")
    )


def _by_chance(actor: Actor, randomness: random.Random) -> Offers:
    """Digests are uniform, so the one that follows a random digest is a fair draw, and an index finds it."""
    fold = Fold.HOLDOUT if randomness.random() < HOLDOUT_SHARE_OF_RANDOM else Fold.TRAIN
    pivot = f"{randomness.getrandbits(256):064x}"
    free = _free(_unsettled(), actor).order_by("digest")
    for candidates in (free.filter(fold=fold), free):
        yield LabelReason.RANDOM, candidates.filter(digest__gte=pivot)
        yield LabelReason.RANDOM, candidates

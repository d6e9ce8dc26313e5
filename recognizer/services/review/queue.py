"""The review queue: which submissions a reviewer sees next, and why.

A reviewer's next items are leased, so that two reviewers never have the same one in front of them; a lease that runs
out gives its item back. Every rule is stated in RULES, and a random share, drawn mainly from the holdout fold, is
mixed into each of them: accuracy on real traffic is computed from that share alone, because a doubt-first queue is a
biased sample.

Candidates are found by their ids, in indexes that hold all that is asked for; only what is shown is read whole.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db.models import CharField, Count, Exists, F, OuterRef, Q, QuerySet
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
    TruthState,
    Verdict,
)
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.permissions import NotAllowedError
from recognizer.services.identity.throttling import Kind, limit_rate
from recognizer.services.submissions.service import with_latest_prediction

from .labels import ACTIVE, resolve_single_reviewer, reviewed, update_consensus

# Long enough to think about one hard picture, short enough that what a reviewer left behind is soon seen by another.
LEASE_DURATION = timedelta(minutes=10)
# A lone reviewer sees a contradicted sure answer a second time, but not while the first decision is still in mind.
SECOND_LOOK_AFTER = timedelta(days=1)
# Of the random share, how much comes from the holdout fold: these labels measure, the others also train.
HOLDOUT_SHARE_OF_RANDOM = 0.8
# Candidates looked at beyond those asked for: enough to step over late copies and what others take at this moment.
SPARE_CANDIDATES = 8
MAX_BATCH_SIZE = 60

RULES: dict[LabelReason, str] = {
    LabelReason.DOUBT: "Second opinions, what visitors contradicted, then the answers with the smallest lead.",
    LabelReason.DISAGREEMENT: "Where model versions gave different digits.",
    LabelReason.SUSPECT: "Settled labels that the live model contradicts although it is sure.",
    LabelReason.NEWEST: "The newest first.",
    LabelReason.RANDOM: "At random, mainly from the holdout fold.",
}
# Shown without the answer and without what others said, so that a second look is a look and no echo.
BLIND_REASONS = (LabelReason.SECOND_OPINION, LabelReason.SUSPECT)


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """One submission in front of one reviewer. `blind`: show neither the answer nor what others said."""

    submission: Submission
    reason: LabelReason
    blind: bool = False

    @property
    def why(self) -> str:
        """In words; of a suspected label not that it is suspected, for that would tell what to look for."""
        return "Second look" if self.reason in BLIND_REASONS else self.reason.label

    @property
    def answer(self) -> Prediction | None:
        """What the model said, if that may be shown."""
        return None if self.blind else self.submission.latest_prediction

    @property
    def suggestion(self) -> str:
        """What the visitor said that it is, if that may be shown."""
        return "" if self.blind else self.submission.truth


@limit_rate(Kind.CHANGE)
def lease_next(
    *, actor: Actor, rule: LabelReason, count: int = 2, randomness: random.Random | None = None
) -> list[ReviewItem]:
    """Lease the next items of `actor`: those leased to them before, then new ones by `rule` and the random share.

    Args:
        count: how many items the reviewer wants to have at hand, at most MOST_AT_ONCE.
        randomness: where chance comes from; a test gives its own.

    Raises:
        NotAllowedError: the actor may not review.
        KeyError: `rule` is none of RULES.
    """
    check_may_review(actor)
    RULES[rule]
    randomness = randomness or random.SystemRandom()
    count = min(count, MAX_BATCH_SIZE)
    held = list(_held(actor).exclude(reason=LabelReason.GRID).values_list("submission", "reason")[:count])
    missing = count - len(held)
    by_chance = [
        rule == LabelReason.RANDOM or randomness.random() < settings.REVIEW_RANDOM_SHARE for _ in range(missing)
    ]
    ruled = _lease_some(actor, _by_rule(rule, actor), missing - sum(by_chance))
    if rule == LabelReason.DOUBT and len(ruled) < missing - sum(by_chance):
        resolve_single_reviewer()
    if not sum(by_chance) or not (held or ruled or sum(by_chance) == missing):
        # A rule that finds nothing has nothing to be mixed with.
        return _items(held + ruled)
    drawn = _lease_some(actor, _by_chance(actor, randomness), sum(by_chance))
    if len(drawn) < sum(by_chance):
        ruled += _lease_some(actor, _by_rule(rule, actor), missing - len(ruled) - len(drawn))
    return _items(held + _mixed(ruled, drawn, by_chance))


@limit_rate(Kind.CHANGE)
def lease_grid(*, actor: Actor, digit: int, count: int = MAX_BATCH_SIZE) -> list[ReviewItem]:
    """Lease up to `count` pictures that were all read as `digit`, the most doubtful first.

    What the actor holds for another digit's grid is given back.
    """
    check_may_review(actor)
    Lease.objects.filter(reviewer=actor.user, reason=LabelReason.GRID).exclude(submission__digit=digit).delete()
    held = list(_held(actor).filter(reason=LabelReason.GRID).values_list("submission", "reason")[:count])
    rows = _free(_of_grid().filter(digit=digit), actor).order_by("-doubt", "-id")
    found = _lease_some(actor, [(LabelReason.GRID, rows)], count - len(held))
    return _items(held + found)


def grid_sizes() -> dict[int, int]:
    """How many pictures wait in the grid of each digit."""
    counts = _of_grid().order_by().values_list("digit").annotate(count=Count("id"))
    return dict.fromkeys(range(10), 0) | dict(counts)


def check_may_review(actor: Actor) -> None:
    """Raises:
    NotAllowedError: the actor may not.
    """
    if not actor.is_reviewer:
        raise NotAllowedError("Only reviewers have a review queue.")


def release_leases(*, actor: Actor) -> None:
    """Give back everything that `actor` has leased."""
    Lease.objects.filter(reviewer=actor.user).delete()


def renew_lease(*, actor: Actor, submission: Submission, reason: LabelReason) -> ReviewItem | None:
    """Put one submission in front of `actor` once more; None when somebody else has it in front of them."""
    Lease.objects.filter(reviewer=actor.user, digest=submission.digest).delete()
    leased = _lease(actor, reason, [(submission.pk, submission.digest)])
    return _items(leased)[0] if leased else None


def waiting() -> int:
    """How many submissions have an answer and no settled truth."""
    return _unsettled().count()


# --- Leases ----------------------------------------------------------------------------------------------------------

# The submission's primary key, and why it is shown.
Leased = tuple[int, LabelReason]
Offers = Iterable[tuple[LabelReason, QuerySet[Submission]]]


def _held(actor: Actor) -> QuerySet[Lease]:
    # The newest first: what was taken back is what its reviewer wants to see.
    return Lease.objects.filter(reviewer=actor.user, expires__gt=timezone.now()).order_by("-expires", "id")


def _lease_some(actor: Actor, offers: Offers, count: int) -> list[Leased]:
    """Lease `count` free candidates, from the first offers as far as they reach."""
    leased: list[Leased] = []
    taken = dict(Lease.objects.filter(expires__gt=timezone.now()).values_list("submission", "digest"))
    passed, digests = set(taken), set(taken.values())
    for reason, candidates in offers if count else ():
        while len(leased) < count:
            missing = count - len(leased)
            ids = list(candidates.exclude(pk__in=passed).values_list("pk", flat=True)[: missing + SPARE_CANDIDATES])
            passed.update(ids)
            leased += _lease(actor, reason, _first_of_each(ids, digests)[:missing])
            if len(ids) < missing + SPARE_CANDIDATES:
                break
        if len(leased) == count:
            break
    return leased


def _first_of_each(ids: Sequence[int], digests: set[str]) -> list[tuple[int, str]]:
    """One submission of each digest that is not among `digests`, which grows by them.

    Copies of what was reviewed before take over its truth, and nobody is asked again.
    """
    rows = {pk: (digest, state) for pk, digest, state in _facts(Submission.objects.filter(pk__in=ids))}
    unsettled = {digest for digest, state in rows.values() if state != TruthState.SETTLED}
    settled = {
        digest
        for _, digest, state in _facts(Submission.objects.filter(digest__in=unsettled))
        if state == TruthState.SETTLED
    }
    late = [pk for pk, (digest, _) in rows.items() if digest in settled]
    if late:
        update_consensus(list(Submission.objects.filter(pk__in=late).only("digest")))
        digests |= settled
    first = []
    for pk in ids:
        digest = rows[pk][0] if pk in rows else None
        if digest and digest not in digests:
            digests.add(digest)
            first.append((pk, digest))
    return first


def _facts(rows: QuerySet[Submission]) -> Iterable[tuple[int, str, str]]:
    return rows.order_by().values_list("pk", "digest", "truth_state")


def _lease(actor: Actor, reason: LabelReason, free: Sequence[tuple[int, str]]) -> list[Leased]:
    now = timezone.now()
    expires = now + LEASE_DURATION
    Lease.objects.filter(digest__in=[digest for _, digest in free], expires__lte=now).delete()
    # The unique digest decides between two reviewers who come at the same moment.
    Lease.objects.bulk_create(
        (
            Lease(submission_id=pk, digest=digest, reviewer=actor.user, reason=reason, expires=expires)
            for pk, digest in free
        ),
        ignore_conflicts=True,
    )
    mine = Lease.objects.filter(reviewer=actor.user, expires=expires, submission__in=[pk for pk, _ in free])
    got = set(mine.values_list("submission", flat=True))
    return [(pk, reason) for pk, _ in free if pk in got]


def _items(leased: Sequence[Leased]) -> list[ReviewItem]:
    rows = with_latest_prediction(Submission.objects.filter(pk__in=[pk for pk, _ in leased]))
    submissions = {submission.pk: submission for submission in rows}
    digests = reviewed({row.digest for row in rows})
    return [
        ReviewItem(
            submissions[pk], LabelReason(reason), blind=reason in BLIND_REASONS or submissions[pk].digest in digests
        )
        for pk, reason in leased
        if pk in submissions  # deleted meanwhile
    ]


def _mixed(ruled: Iterable[Leased], drawn: Iterable[Leased], by_chance: Iterable[bool]) -> list[Leased]:
    """Each at its place: those drawn by chance where chance fell, as far as there are any."""
    ruled, drawn = iter(ruled), iter(drawn)
    places = [next(drawn, None) or next(ruled, None) if chance else next(ruled, None) for chance in by_chance]
    return [one for one in [*places, *drawn, *ruled] if one]


# --- Rules -----------------------------------------------------------------------------------------------------------


def _by_rule(rule: LabelReason, actor: Actor) -> Iterator[tuple[LabelReason, QuerySet[Submission]]]:
    """Candidates to be tried in order, each with the reason that will stand beside the label."""
    if rule == LabelReason.SUSPECT:
        yield rule, _suspects(actor)
        return
    # What this reviewer passed over comes back only when nothing else is left.
    for skipped in (False, True):
        free = _free(_unsettled(), actor, skipped=skipped)
        if rule == LabelReason.DISAGREEMENT:
            yield rule, free.filter(models_disagree=True).order_by("-doubt", "-id")
        elif rule == LabelReason.NEWEST:
            yield rule, free.order_by("-id")
        elif rule == LabelReason.DOUBT:
            asked = free.filter(truth_state__in=[TruthState.PROVISIONAL, TruthState.DISPUTED])
            yield LabelReason.SECOND_OPINION, asked.filter(_reviewed()).order_by("id")
            yield LabelReason.SUSPECT, _suspects(actor)
            yield LabelReason.SUGGESTION, asked.filter(~_reviewed()).order_by("-doubt", "-id")
            yield LabelReason.DOUBT, free.filter(truth_state=TruthState.NONE).order_by("-doubt", "-id")


def _by_chance(actor: Actor, randomness: random.Random) -> Iterator[tuple[LabelReason, QuerySet[Submission]]]:
    """Digests are uniform, so the one that follows a random digest is a fair draw, and an index finds it."""
    folds = [Fold.HOLDOUT, Fold.TRAIN]
    if randomness.random() >= HOLDOUT_SHARE_OF_RANDOM:
        folds.reverse()
    pivot = f"{randomness.getrandbits(256):064x}"
    free = _free(_unsettled(), actor).order_by("digest")
    for fold in folds:
        yield LabelReason.RANDOM, free.filter(fold=fold, digest__gte=pivot)
        yield LabelReason.RANDOM, free.filter(fold=fold)


def _unsettled() -> QuerySet[Submission]:
    # Said as "not settled", so that no plan gathers and sorts most of the table instead of walking an index in order.
    return Submission.objects.filter(~Q(truth_state=TruthState.SETTLED), doubt__isnull=False)


def _of_grid() -> QuerySet[Submission]:
    """Read as a digit, and nobody said anything yet."""
    read = [Verdict.SURE, Verdict.UNSURE]
    return Submission.objects.filter(truth_state=TruthState.NONE, truth="", verdict__in=read)


def _reviewed() -> Exists:
    return Exists(Label.objects.filter(submission=OuterRef("pk"), kind=LabelKind.REVIEW, **ACTIVE))


def _free(submissions: QuerySet[Submission], actor: Actor, *, skipped: bool = False) -> QuerySet[Submission]:
    """Those that this reviewer did not review yet, passed over by them or not."""
    reviews = Label.objects.filter(submission=OuterRef("pk"), kind=LabelKind.REVIEW, user=actor.user, **ACTIVE)
    passed_over = Exists(Skip.objects.filter(submission=OuterRef("pk"), reviewer=actor.user))
    return submissions.filter(~Exists(reviews), passed_over if skipped else ~passed_over)


def _suspects(actor: Actor) -> QuerySet[Submission]:
    """Settled truths that a sure answer contradicts, once more and blind: to somebody else, or later to the same."""
    reviews = Label.objects.filter(submission=OuterRef("pk"), kind=LabelKind.REVIEW)
    recent = reviews.filter(user=actor.user, created__gt=timezone.now() - SECOND_LOOK_AFTER)
    contradicted = Submission.objects.filter(
        ~Q(truth=Cast(F("digit"), CharField())),
        truth_state=TruthState.SETTLED,
        truth__in=[str(digit) for digit in range(10)],
        verdict=Verdict.SURE,
    )
    return contradicted.filter(~Exists(recent), ~Exists(reviews.filter(reason__in=BLIND_REASONS))).order_by("-id")

"""Permissions: one function for each, used by all services, pages and API endpoints."""

from functools import lru_cache

from django.conf import settings
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404
from django.utils.crypto import constant_time_compare

from recognizer.models import Label, LabelKind, Prediction, Scope, Submission, SubmissionQuerySet

from .actors import Actor

READ_KEY_SALT = "recognizer.read-key"
MANAGE_KEY_SALT = "recognizer.manage-key"
# Lets scanners recognise a key that leaked into a repository or a log.
MANAGE_KEY_PREFIX = "manage_"


class NotAllowedError(PermissionDenied):
    """The actor does not have the permission; the message says who has."""


def owns(actor: Actor, submission: Submission) -> bool:
    """Return whether the submission is the actor's: by account, by visitor cookie, or by the request's manage key."""
    if actor.user is not None and submission.owner_id == actor.user.pk:
        return True
    if actor.visitor and constant_time_compare(submission.visitor, actor.visitor):
        return True
    return is_manage_key(submission, actor.manage_key)


def is_own_label(actor: Actor, label: Label) -> bool:
    """Return whether the actor added the label. A visitor's labels stay their own after they sign in."""
    if label.user_id is not None:
        return actor.user is not None and label.user_id == actor.user.pk
    if actor.manage_key and not label.visitor and label.kind == LabelKind.SUGGESTION:
        return is_manage_key(label.submission, actor.manage_key)
    return bool(actor.visitor) and constant_time_compare(label.visitor, actor.visitor)


def attributed_to(actor: Actor) -> Q:
    """Return the condition for rows whose `user` or `visitor` is the actor; it matches no row for an unknown actor."""
    own = Q(pk__in=())
    if actor.user is not None:
        own |= Q(user=actor.user)
    if actor.visitor:
        own |= Q(visitor=actor.visitor)
    return own


def own_submissions(actor: Actor) -> SubmissionQuerySet:
    """Return the submissions of the actor's account and visitor cookie."""
    own = Q(pk__in=())
    if actor.user is not None:
        own |= Q(owner=actor.user)
    if actor.visitor:
        # The second condition repeats that of the partial index on visitors: without it SQLite does not use the index.
        own |= Q(visitor=actor.visitor) & ~Q(visitor="")
    return Submission.objects.filter(own)


def visible_submissions(actor: Actor) -> SubmissionQuerySet:
    """Return all submissions for reviewers and operators, and the actor's own ones otherwise."""
    return Submission.objects.all() if actor.sees_all else own_submissions(actor)


def visible_predictions(actor: Actor) -> QuerySet[Prediction]:
    """Return the predictions of the submissions that the actor may see."""
    rows = Prediction.objects.all()
    return rows if actor.sees_all else rows.filter(submission__in=own_submissions(actor))


def visible_labels(actor: Actor) -> QuerySet[Label]:
    """Return the labels of the submissions that the actor may see."""
    rows = Label.objects.all()
    return rows if actor.sees_all else rows.filter(submission__in=own_submissions(actor))


def can_see(actor: Actor, submission: Submission, *, key: str = "") -> bool:
    """Return whether the actor may see the submission.

    Args:
        actor: the caller.
        submission: the submission.
        key: the read key or the share key that came with the request, or "".
    """
    if owns(actor, submission) or actor.sees_all:
        return True
    return bool(key) and (is_read_key(submission, key) or is_share_key(submission, key))


def get_visible_submission(actor: Actor, public_id: str, *, key: str = "") -> Submission:
    """Return a submission that the actor may see, with its latest prediction.

    Args:
        actor: the caller.
        public_id: the id of the submission.
        key: as in `can_see`.

    Raises:
        Http404: the submission does not exist or is not visible to the actor; the caller cannot tell which.
    """
    submission = Submission.objects.with_latest_prediction().filter(public_id=public_id).first()
    if submission is None or not can_see(actor, submission, key=key):
        raise Http404
    return submission


def can_delete(actor: Actor, submission: Submission) -> bool:
    """Return whether the actor may delete the submission: owners and operators may."""
    return _changes_own(actor, submission) or actor.is_operator


def can_share(actor: Actor, submission: Submission) -> bool:
    """Return whether the actor may share the submission and revoke its keys: only owners may."""
    return _changes_own(actor, submission)


def can_label(actor: Actor, submission: Submission) -> bool:
    """Return whether the actor may label the submission: owners and reviewers may."""
    return _changes_own(actor, submission) or actor.is_reviewer


def can_crop(actor: Actor, submission: Submission) -> bool:
    """Return whether the actor may have the submission read within another crop: owners and reviewers may."""
    return can_label(actor, submission)


def can_retract(actor: Actor, label: Label) -> bool:
    """Return whether the actor may retract the label: only its author may."""
    return is_own_label(actor, label) and (label.kind != LabelKind.REVIEW or actor.has_scope(Scope.REVIEW))


def _changes_own(actor: Actor, submission: Submission) -> bool:
    return actor.has_scope(Scope.SUBMIT) and owns(actor, submission)


def can_submit(actor: Actor) -> bool:
    """Return whether the site accepts submissions from the actor."""
    return actor.has_scope(Scope.SUBMIT) and (
        actor.user is not None or actor.is_system or settings.ANONYMOUS_SUBMISSIONS
    )


def require_submitter(actor: Actor) -> None:
    """Check that the actor may submit.

    Raises:
        NotAllowedError: the site requires an account and the actor has none.
    """
    if not can_submit(actor):
        raise NotAllowedError("Please sign in: this site accepts pictures from people with an account only.")


def require_reviewer(actor: Actor) -> None:
    """Check that the actor may review.

    Raises:
        NotAllowedError: the actor is not a reviewer.
    """
    if not actor.is_reviewer:
        raise NotAllowedError("Only reviewers have a review queue.")


def require_operator(actor: Actor) -> None:
    """Check that the actor may manage accounts, training runs, deployments and model files.

    Raises:
        NotAllowedError: the actor is not an operator.
    """
    if not actor.is_operator:
        raise NotAllowedError("Only operators see and decide this. Sign in as one.")


def read_key(submission: Submission) -> str:
    """Return the signed key with which a client without an account can read the submission that it sent."""
    value = submission.public_id
    if submission.read_key_revocations:
        value += f".{submission.read_key_revocations}"
    return _signer(settings.SECRET_KEY, READ_KEY_SALT).signature(value)


def manage_key(public_id: str) -> str:
    """Return the key with which a client without an account and without a cookie manages the submission that it sent.

    It is derived from the id and SECRET_KEY, so that the response to a repeated request can contain it although it is
    not stored. It is valid as long as the submission exists.
    """
    return MANAGE_KEY_PREFIX + _signer(settings.SECRET_KEY, MANAGE_KEY_SALT).signature(public_id)


@lru_cache(2)
def _signer(secret: str, salt: str) -> signing.Signer:
    """Return a cached signer, because every response to a new submission needs two."""
    return signing.Signer(key=secret, salt=salt)


def is_read_key(submission: Submission, key: str) -> bool:
    """Return whether this is the submission's read key."""
    return constant_time_compare(read_key(submission), key)


def is_manage_key(submission: Submission, key: str) -> bool:
    """Return whether this is the submission's manage key; submissions of an account or a visitor have none."""
    has_key = submission.owner_id is None and not submission.visitor
    return has_key and bool(key) and constant_time_compare(manage_key(submission.public_id), key)


def is_share_key(submission: Submission, key: str) -> bool:
    """Return whether this is the key of the submission's share link."""
    return bool(submission.share_key) and constant_time_compare(submission.share_key, key)

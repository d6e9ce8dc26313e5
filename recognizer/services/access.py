"""Who may see and do what: one function for each permission on an object, used by every page and every API call."""

from functools import lru_cache

from django.conf import settings
from django.core import signing
from django.db.models import Q, QuerySet
from django.utils.crypto import constant_time_compare

from recognizer.models import Label, Prediction, Scope, Submission

from .actors import Actor

READ_KEY_SALT = "recognizer.read-key"


class NotAllowedError(PermissionError):
    """This person may not do this; the message says who may."""


def owns(actor: Actor, submission: Submission) -> bool:
    if actor.user is not None and submission.owner_id == actor.user.pk:
        return True
    return bool(actor.visitor) and constant_time_compare(submission.visitor, actor.visitor)


def said(actor: Actor, label: Label) -> bool:
    """Whether the label is this person's own word; what a visitor said stays theirs when they sign in."""
    if label.user_id is not None:
        return actor.user is not None and label.user_id == actor.user.pk
    return bool(actor.visitor) and constant_time_compare(label.visitor, actor.visitor)


def own_submissions(actor: Actor) -> QuerySet[Submission]:
    """The submissions that this person gave us."""
    mine = Q(pk__in=())
    if actor.user is not None:
        mine |= Q(owner=actor.user)
    if actor.visitor:
        # Said twice, for the index of visitors leaves out rows without one, and SQLite takes it only when told so too.
        mine |= Q(visitor=actor.visitor) & ~Q(visitor="")
    return Submission.objects.filter(mine)


def visible_submissions(actor: Actor) -> QuerySet[Submission]:
    """Reviewers and operators see all submissions, everybody else their own."""
    return Submission.objects.all() if _sees_all(actor) else own_submissions(actor)


def visible_predictions(actor: Actor) -> QuerySet[Prediction]:
    """What was said of the submissions that this person sees."""
    rows = Prediction.objects.all()
    return rows if _sees_all(actor) else rows.filter(submission__in=own_submissions(actor))


def visible_labels(actor: Actor) -> QuerySet[Label]:
    rows = Label.objects.all()
    return rows if _sees_all(actor) else rows.filter(submission__in=own_submissions(actor))


def _sees_all(actor: Actor) -> bool:
    return actor.is_reviewer or actor.is_operator


def can_see(actor: Actor, submission: Submission, *, key: str = "") -> bool:
    """`key` is a read key, given to whoever sent the submission, or the key of its share link."""
    if owns(actor, submission) or _sees_all(actor):
        return True
    return bool(key) and (is_read_key(submission, key) or is_share_key(submission, key))


def can_delete(actor: Actor, submission: Submission) -> bool:
    return _changes_own(actor, submission) or actor.is_operator


def can_share(actor: Actor, submission: Submission) -> bool:
    return _changes_own(actor, submission)


def can_label(actor: Actor, submission: Submission) -> bool:
    return _changes_own(actor, submission) or actor.is_reviewer


def _changes_own(actor: Actor, submission: Submission) -> bool:
    return actor.came_for(Scope.SUBMIT) and owns(actor, submission)


def can_submit(actor: Actor) -> bool:
    """Whether this site takes pictures from this person at all."""
    return actor.came_for(Scope.SUBMIT) and (
        actor.user is not None or actor.is_the_machine or settings.ANONYMOUS_SUBMISSIONS
    )


def can_export(actor: Actor) -> bool:
    """What reviewers settled is theirs and the operators' to take away."""
    return actor.is_reviewer or actor.is_operator


def must_operate(actor: Actor) -> None:
    """Training runs, deployments and the files of models are the operators' business.

    Raises:
        NotAllowedError: the actor is none.
    """
    if not actor.is_operator:
        raise NotAllowedError("Only operators see and decide this. Sign in as one.")


def read_key(submission: Submission) -> str:
    """A signed key with which a client without an account can read the one submission that it sent."""
    return _signer(settings.SECRET_KEY).signature(submission.public_id)


@lru_cache(1)
def _signer(secret: str) -> signing.Signer:
    """Made once, for every answer that stores something has such a key."""
    return signing.Signer(key=secret, salt=READ_KEY_SALT)


def is_read_key(submission: Submission, key: str) -> bool:
    return constant_time_compare(read_key(submission), key)


def is_share_key(submission: Submission, key: str) -> bool:
    return bool(submission.share_key) and constant_time_compare(submission.share_key, key)

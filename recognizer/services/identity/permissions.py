"""Who may see and do what: one function for each permission on an object, used by every page and every API call."""

from functools import lru_cache

from django.conf import settings
from django.core import signing
from django.db.models import Q, QuerySet
from django.utils.crypto import constant_time_compare

from recognizer.models import Label, LabelKind, Prediction, Scope, Submission

from .actors import Actor

READ_KEY_SALT = "recognizer.read-key"
MANAGE_KEY_SALT = "recognizer.manage-key"
# So that a key that leaked into a repository or a log can be recognised.
MANAGE_KEY_PREFIX = "manage_"


class NotAllowedError(PermissionError):
    """This person may not do this; the message says who may."""


def owns(actor: Actor, submission: Submission) -> bool:
    """Whether the submission is the actor's: by account, by visitor's cookie, or by the manage key of the request."""
    if actor.user is not None and submission.owner_id == actor.user.pk:
        return True
    if actor.visitor and constant_time_compare(submission.visitor, actor.visitor):
        return True
    return is_manage_key(submission, actor.manage_key)


def is_own_label(actor: Actor, label: Label) -> bool:
    """Whether the label is this person's own word; what a visitor said stays theirs when they sign in."""
    if label.user_id is not None:
        return actor.user is not None and label.user_id == actor.user.pk
    if actor.manage_key and not label.visitor and label.kind == LabelKind.SUGGESTION:
        return is_manage_key(label.submission, actor.manage_key)
    return bool(actor.visitor) and constant_time_compare(label.visitor, actor.visitor)


def attributed_to(actor: Actor) -> Q:
    """Return the condition for rows whose `user` or `visitor` is this person; it matches nothing for an unknown one."""
    own = Q(pk__in=())
    if actor.user is not None:
        own |= Q(user=actor.user)
    if actor.visitor:
        own |= Q(visitor=actor.visitor)
    return own


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
    return actor.has_scope(Scope.SUBMIT) and owns(actor, submission)


def can_submit(actor: Actor) -> bool:
    """Whether this site takes pictures from this person at all."""
    return actor.has_scope(Scope.SUBMIT) and (
        actor.user is not None or actor.is_system or settings.ANONYMOUS_SUBMISSIONS
    )


def can_export(actor: Actor) -> bool:
    """What reviewers settled is theirs and the operators' to take away."""
    return actor.is_reviewer or actor.is_operator


def require_operator(actor: Actor) -> None:
    """Training runs, deployments and the files of models are the operators' business.

    Raises:
        NotAllowedError: the actor is none.
    """
    if not actor.is_operator:
        raise NotAllowedError("Only operators see and decide this. Sign in as one.")


def read_key(submission: Submission) -> str:
    """Return the signed key with which a client without an account can read the one submission that it sent."""
    signed = submission.public_id
    if submission.read_key_revocations:
        signed += f".{submission.read_key_revocations}"
    return _signer(settings.SECRET_KEY, READ_KEY_SALT).signature(signed)


def manage_key(public_id: str) -> str:
    """Return the key with which a client without an account and without a cookie manages a submission that it sent.

    It follows from the id and SECRET_KEY, so that the answer to a repeated request can hold it and nothing stores it.
    It works as long as the submission exists.
    """
    return MANAGE_KEY_PREFIX + _signer(settings.SECRET_KEY, MANAGE_KEY_SALT).signature(public_id)


@lru_cache(2)
def _signer(secret: str, salt: str) -> signing.Signer:
    """Made once, for every answer that stores something has such keys."""
    return signing.Signer(key=secret, salt=salt)


def is_read_key(submission: Submission, key: str) -> bool:
    return constant_time_compare(read_key(submission), key)


def is_manage_key(submission: Submission, key: str) -> bool:
    """Whether the key manages the submission; those of an account or a visitor have no such key."""
    has_key = submission.owner_id is None and not submission.visitor
    return has_key and bool(key) and constant_time_compare(manage_key(submission.public_id), key)


def is_share_key(submission: Submission, key: str) -> bool:
    return bool(submission.share_key) and constant_time_compare(submission.share_key, key)

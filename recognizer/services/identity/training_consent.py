"""Consent to training: a person can exclude their submissions from every future training."""

from django.db import transaction
from django.db.models import QuerySet

from recognizer.models import OptOut

from . import permissions, quotas
from .actors import Actor
from .throttling import Kind, limit_rate


def has_opted_out(actor: Actor) -> bool:
    """Return whether submissions of this person are excluded from training."""
    return actor.is_known and _opt_outs(actor).exists()


@limit_rate(Kind.CHANGE)
def opt_out(actor: Actor) -> None:
    """Exclude all past and future submissions of this person from training. Trained models stay as they are."""
    trainable = permissions.own_submissions(actor).filter(may_train=True)
    with transaction.atomic(durable=True):
        # Counted but never refused: opting out is a right, and CHANGES_PER_MINUTE limits it.
        quotas.charge(actor=actor, size=quotas.OPT_OUT_ROW_BYTES)
        if actor.user is not None:
            OptOut.objects.get_or_create(user=actor.user)
        if actor.visitor:
            OptOut.objects.get_or_create(visitor=actor.visitor)
        trainable.update(may_train=False)
    # Repeated for PostgreSQL, where a submission may have been committed in the meantime. One that is committed later
    # is caught by the second check of the writer.
    trainable.update(may_train=False)


@limit_rate(Kind.CHANGE)
def opt_in(actor: Actor) -> None:
    """Allow training on future submissions of this person. Older ones stay excluded."""
    _opt_outs(actor).delete()


def _opt_outs(actor: Actor) -> QuerySet[OptOut]:
    return OptOut.objects.filter(permissions.attributed_to(actor))

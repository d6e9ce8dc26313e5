"""Personal data: summary, export and deletion, for accounts and for visitors.

A visitor is identified by the key in their browser's cookie.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING

from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Count, Min, Q, QuerySet
from django.utils import timezone

from recognizer.models import Label, Submission
from recognizer.services.identity import idempotency, permissions, sessions, training_consent, users
from recognizer.services.identity.throttling import Kind, limit_rate
from recognizer.services.lib import temp_files
from recognizer.services.submissions.bulk_delete import delete_submissions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from recognizer.services.identity.actors import Actor

BATCH = 200

_slots = temp_files.slots("Other people's data is being put together right now. Please try again in a moment.")


class AccountNotDeletableError(ValueError):
    """The account cannot be deleted by its owner; the message says why."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Summary of the stored data of a person.

    Attributes:
        pictures: Number of submissions.
        answers: Number of predictions.
        labels: Number of labels by the person.
        since: Creation time of the oldest submission, or None.
        in_training: Number of submissions that may be used for training.
        opted_out: Whether the person opted out of training.
    """

    pictures: int
    answers: int
    labels: int
    since: datetime | None
    in_training: int
    opted_out: bool


def summarize(actor: Actor) -> Summary:
    """Return a summary of the actor's data."""
    submissions = permissions.own_submissions(actor)
    counts = submissions.aggregate(
        pictures=Count("pk"), since=Min("created"), in_training=Count("pk", filter=Q(may_train=True))
    )
    answers = submissions.aggregate(answers=Count("predictions"))["answers"]
    return Summary(
        **counts, answers=answers, labels=_own_labels(actor).count(), opted_out=training_consent.has_opted_out(actor)
    )


def _own_labels(actor: Actor) -> QuerySet[Label]:
    """Return all labels by the actor, also of other people's submissions."""
    return Label.objects.filter(permissions.attributed_to(actor))


# --- Export ----------------------------------------------------------------------------------------------------------


@limit_rate(Kind.CHANGE)
def export_data(actor: Actor) -> IO[bytes]:
    """Export all data of the actor as a zip file: `data.json`, with account details and tokens, and the stored images.

    Returns:
        An anonymous temporary file, positioned at its start and deleted when it is closed.

    Raises:
        BusyError: Too many other exports are running.
    """
    with _slots.slot(actor.caller_key, seconds=temp_files.WAIT_SECONDS):
        file = temp_files.anonymous_file()
        try:
            _write(actor, file)
        except BaseException:
            file.close()
            raise
    file.seek(0)
    return file


def _write(actor: Actor, file: IO[bytes]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("data.json", "w", force_zip64=True) as member:
            for text in _serialize(actor):
                member.write(text.encode())
        rows = permissions.own_submissions(actor).order_by("pk").only("public_id", "picture")
        for row in rows.iterator(BATCH):
            try:
                with default_storage.open(row.picture) as image:
                    # Images are compressed already.
                    archive.writestr(_name_in_export(row), image.read(), zipfile.ZIP_STORED)
            except FileNotFoundError:  # deleted in another window at the same time
                continue


def _serialize(actor: Actor) -> Iterator[str]:
    """Yield the JSON document in parts, one submission at a time, so that memory use is constant."""
    head = {
        "made": timezone.now().isoformat(timespec="seconds"),
        "account": actor.user.get_username() if actor.user else None,
        "account_details": _account(actor.user) if actor.user else None,
        "opted_out_of_training": training_consent.has_opted_out(actor),
    }
    yield json.dumps(head, indent=1)[:-2] + ',\n "submissions": ['
    rows = permissions.own_submissions(actor).order_by("pk").defer("pixels", "further_pixels")
    rows = rows.prefetch_related("predictions__version", "labels")
    yield from _serialize_items(_submission(row, actor) for row in rows.iterator(BATCH))
    yield '\n ],\n "said_of_others": ['
    labels = _own_labels(actor).exclude(submission__in=permissions.own_submissions(actor)).order_by("pk")
    yield from _serialize_items(
        {"submission": label.submission.public_id} | _label(label)
        for label in labels.select_related("submission").iterator(BATCH)
    )
    yield "\n ]\n}\n"


def _serialize_items(items: Iterable[dict[str, object]]) -> Iterator[str]:
    """Yield the items of a JSON array, a line each."""
    for number, item in enumerate(items):
        yield (",\n" if number else "\n") + json.dumps(item)


def _account(user: User) -> dict[str, object]:
    """Return the stored data of an account without the password hash. Keys of tokens are not stored."""
    return {
        "email": user.email,
        "created": user.date_joined.isoformat(),
        "last_sign_in": _format_time(user.last_login),
        "roles": list(user.groups.order_by("name").values_list("name", flat=True)),
        "tokens": [
            {
                "name": token.name,
                "scopes": token.scopes,
                "created": token.created.isoformat(),
                "expires": token.expires.isoformat(),
                "last_used": _format_time(token.last_used),
            }
            for token in user.tokens.order_by("pk")
        ],
    }


def _format_time(value: datetime | None) -> str | None:
    return value.isoformat() if value else None


def _submission(row: Submission, actor: Actor) -> dict[str, object]:
    return {
        "id": row.public_id,
        "created": row.created.isoformat(),
        "source": row.source,
        "picture": _name_in_export(row),
        "crop": row.crop,
        "strokes": row.strokes,
        "may_train": row.may_train,
        "state": row.state,
        "answers": [
            {
                "model": prediction.version.number,
                "crop": prediction.crop_box,
                "reading": row.reading_kind(prediction),
                "created": prediction.created.isoformat(),
                "digit": prediction.digit,
                "verdict": prediction.verdict,
                "certainty": prediction.certainty,
                "probabilities": prediction.probabilities,
            }
            for prediction in row.predictions.all()
        ],
        "labels": [_label(label) | {"yours": permissions.is_own_label(actor, label)} for label in row.labels.all()],
    }


def _label(label: Label) -> dict[str, object]:
    return {"value": label.value or "retracted", "kind": label.kind, "created": label.created.isoformat()}


def _name_in_export(row: Submission) -> str:
    return f"pictures/{row.public_id}{PurePosixPath(row.picture).suffix}"


# --- Deletion --------------------------------------------------------------------------------------------------------


@limit_rate(Kind.CHANGE)
def delete_everything(actor: Actor, *, with_account: bool = False) -> int:
    """Delete the actor's submissions with all their labels and predictions, and optionally the account.

    A reviewer's labels of other people's submissions stay, without an author.

    Args:
        actor: The account or visitor.
        with_account: Whether to delete the account too.

    Returns:
        The number of deleted submissions.

    Raises:
        AccountNotDeletableError: The account cannot be deleted; nothing was deleted.
    """
    if with_account:
        _check_account_deletable(actor)
    count = delete_submissions(permissions.own_submissions(actor))
    idempotency.delete_for(actor)
    if actor.visitor:
        Label.objects.filter(visitor=actor.visitor).update(visitor="")
    if with_account and actor.user is not None:
        count += _delete_account(actor.user)
    return count


@transaction.atomic
def _delete_account(user: User) -> int:
    """Delete the account with submissions that were added since the others were deleted; return their number."""
    # Waits for transactions that are storing submissions of this account. Later ones find no account.
    list(User.objects.select_for_update().filter(pk=user.pk))
    count = delete_submissions(Submission.objects.filter(owner=user))
    sessions.end_all(user)
    User.objects.filter(pk=user.pk).delete()
    return count


def _check_account_deletable(actor: Actor) -> None:
    if actor.user is None:
        raise AccountNotDeletableError("You have no account here.")
    if actor.is_operator and users.is_last_operator(actor.user):
        raise AccountNotDeletableError(
            "You are this site's only operator. Make another account one first, on the People page."
        )

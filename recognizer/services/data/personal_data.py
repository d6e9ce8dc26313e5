"""What somebody may ask of us about their own things: to see, to have and to delete.

Works for accounts and for visitors alike; a visitor is known by the key in their browser's cookie.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import IO

from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Count, Min, Q, QuerySet
from django.utils import timezone

from recognizer.models import Label, Submission
from recognizer.services.identity import idempotency, permissions, sessions, training_consent, users
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.throttling import Kind, limit_rate
from recognizer.services.lib import temp_files
from recognizer.services.submissions.bulk_delete import delete_submissions

BATCH = 200

_slots = temp_files.slots("Other people's data is being put together right now. Please try again in a moment.")


class AccountNotDeletableError(ValueError):
    """This account cannot be deleted by its owner; the message says why."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What we have of somebody. `since` is when the oldest picture came; None where there is none."""

    pictures: int
    answers: int
    labels: int
    since: datetime | None
    in_training: int
    opted_out: bool


def summarize(actor: Actor) -> Summary:
    own = permissions.own_submissions(actor)
    found = own.aggregate(pictures=Count("pk"), since=Min("created"), in_training=Count("pk", filter=Q(may_train=True)))
    answers = own.aggregate(answers=Count("predictions"))["answers"]
    return Summary(
        **found, answers=answers, labels=_words(actor).count(), opted_out=training_consent.has_opted_out(actor)
    )


def _words(actor: Actor) -> QuerySet[Label]:
    """Everything that this person said, about whosever picture."""
    return Label.objects.filter(permissions.attributed_to(actor))


# --- To have ---------------------------------------------------------------------------------------------------------


@limit_rate(Kind.CHANGE)
def export_data(actor: Actor) -> IO[bytes]:
    """A zip of everything: `data.json`, with the account's details and tokens, and the pictures as they are kept.

    Returns:
        An open file without a name, at its beginning; closing it deletes it.

    Raises:
        BusyError: too many others are being made.
    """
    with _slots.slot(actor.share_key, seconds=temp_files.WAIT_SECONDS):
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
            for text in _as_json(actor):
                member.write(text.encode())
        rows = permissions.own_submissions(actor).order_by("pk").only("public_id", "picture")
        for row in rows.iterator(BATCH):
            try:
                with default_storage.open(row.picture) as picture:
                    # Pictures are compressed already.
                    archive.writestr(_name_in_export(row), picture.read(), zipfile.ZIP_STORED)
            except FileNotFoundError:  # deleted in another window meanwhile
                continue


def _as_json(actor: Actor) -> Iterator[str]:
    """One submission at a time, so that somebody's tenth thousand takes no more memory than the first."""
    head = {
        "made": timezone.now().isoformat(timespec="seconds"),
        "account": actor.user.get_username() if actor.user else None,
        "account_details": _account(actor.user) if actor.user else None,
        "opted_out_of_training": training_consent.has_opted_out(actor),
    }
    yield json.dumps(head, indent=1)[:-2] + ',\n "submissions": ['
    rows = permissions.own_submissions(actor).order_by("pk").defer("pixels")
    comma = "\n"
    for row in rows.prefetch_related("predictions__version", "labels").iterator(BATCH):
        yield comma + json.dumps(_submission(row, actor))
        comma = ",\n"
    yield '\n ],\n "said_of_others": ['
    others = _words(actor).exclude(submission__in=permissions.own_submissions(actor)).select_related("submission")
    comma = "\n"
    for said in others.order_by("pk").iterator(BATCH):
        yield comma + json.dumps({"submission": said.submission.public_id} | _label(said))
        comma = ",\n"
    yield "\n ]\n}\n"


def _account(user: User) -> dict[str, object]:
    """What is stored of an account but its password: a token's key is stored nowhere."""
    return {
        "email": user.email,
        "created": user.date_joined.isoformat(),
        "last_sign_in": _moment(user.last_login),
        "roles": list(user.groups.order_by("name").values_list("name", flat=True)),
        "tokens": [
            {
                "name": token.name,
                "scopes": token.scopes,
                "created": token.created.isoformat(),
                "expires": token.expires.isoformat(),
                "last_used": _moment(token.last_used),
            }
            for token in user.tokens.order_by("pk")
        ],
    }


def _moment(value: datetime | None) -> str | None:
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
                "model": one.version.number,
                "created": one.created.isoformat(),
                "digit": one.digit,
                "verdict": one.verdict,
                "certainty": one.certainty,
                "probabilities": one.probabilities,
            }
            for one in row.predictions.all()
        ],
        "labels": [_label(one) | {"yours": permissions.is_own_label(actor, one)} for one in row.labels.all()],
    }


def _label(said: Label) -> dict[str, object]:
    return {"value": said.value or "retracted", "kind": said.kind, "created": said.created.isoformat()}


def _name_in_export(row: Submission) -> str:
    return f"pictures/{row.public_id}{PurePosixPath(row.picture).suffix}"


# --- To delete -------------------------------------------------------------------------------------------------------


@limit_rate(Kind.CHANGE)
def delete_everything(actor: Actor, *, with_account: bool = False) -> int:
    """Delete this person's submissions with all that was said of them, and on demand the account; how many went.

    What a reviewer said of other people's pictures stays, as the word of nobody in particular once the account is gone.

    Raises:
        AccountStaysError: the account cannot be deleted; nothing was deleted at all.
    """
    if with_account:
        _check_may_go(actor)
    count = delete_submissions(permissions.own_submissions(actor))
    idempotency.delete_for(actor)
    if actor.visitor:
        Label.objects.filter(visitor=actor.visitor).update(visitor="")
    return count + _delete_account(actor.user) if with_account else count


@transaction.atomic
def _delete_account(user: User) -> int:
    """The account, with what it sent since the rest was deleted, which would be nobody's; how many those were."""
    # Whoever is storing something of theirs at this moment is waited for, and then finds no account any more.
    list(User.objects.select_for_update().filter(pk=user.pk))
    count = delete_submissions(Submission.objects.filter(owner=user))
    sessions.end_all(user)
    User.objects.filter(pk=user.pk).delete()
    return count


def _check_may_go(actor: Actor) -> None:
    if actor.user is None:
        raise AccountNotDeletableError("You have no account here.")
    if actor.is_operator and users.is_last_operator(actor.user):
        raise AccountNotDeletableError(
            "You are this site's only operator. Make somebody else one first, on the People page."
        )

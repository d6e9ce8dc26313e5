"""Submissions: accepting a picture or a drawing, previewing one, sharing and deleting.

Called by the pages, the API and the importing commands. Everything that can be wrong with what was sent is one
exception, `Refused`, raised before anything is stored.
"""

import hashlib
import json
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from PIL import Image

from ml import preprocessing
from ml.classifier import Answer
from ml.images import ImageError
from ml.preprocessing import PREPROCESSING_VERSION, Prepared, StrokesError
from recognizer.models import Fold, Source, Submission

from . import access, handoff, orphans, pictures
from .access import NotAllowedError
from .actors import Actor

# One picture in this many is kept away from training for ever, to measure the benefit of training.
HOLDOUT_EVERY = 5
SMALLEST_CROP = 4

# What a list must not drag along.
LARGE_COLUMNS = ("pixels", "strokes", "ink")
LARGE_VERSION_COLUMNS = ("history", "metrics", "gate", "recipe")

Crop = Sequence[float]
Box = tuple[int, int, int, int]


class Refused(ValueError):  # noqa: N818 - not a fault of ours: the sender is told what to do
    """What was sent cannot be accepted, and nothing was stored. The message is meant for the sender.

    Attributes:
        code: `empty`, `not_an_image`, `truncated`, `too_many_bytes`, `too_many_pixels`, `bad_crop` (pictures);
            `bad_shape`, `too_many`, `not_a_number`, `out_of_range` (strokes); `blank` (both).
        field: which part of what was sent is meant: `image`, `strokes` or `crop`.
    """

    def __init__(self, code: str, message: str, *, field: str) -> None:
        super().__init__(message)
        self.code = code
        self.field = field


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be seen, and the model's answer; `answer` is None where the picture is blank or no worker is free."""

    prepared: Prepared
    answer: Answer | None


# --- Accepting -------------------------------------------------------------------------------------------------------


def accept_image(
    *, actor: Actor, data: bytes, source: Source, crop: Crop | None = None, may_train: bool = True
) -> Submission:
    """Store the picture in `data` and have it predicted.

    Args:
        crop: left, top, right, bottom of the digit, in pixels of the picture as it was sent (upright).
        may_train: False when the sender opted out.

    Returns:
        The stored submission, pending; `handoff.wait_for` waits for its answer.

    Raises:
        Refused: nothing was stored; says why.
        NotAllowedError: accounts are required here and the actor has none.
        pictures.BusyError: too many large pictures at once.
    """
    _check_may_submit(actor)
    image, box = _decode(data, crop)
    kept = pictures.encode(image)
    prepared = preprocessing.prepare_image(kept.image, crop=box)
    return _store(
        kept, prepared, "image", actor=actor, source=source, may_train=may_train, digest=kept.sha256, crop=box
    )


def accept_strokes(
    *,
    actor: Actor,
    strokes: object,
    source: Source,
    frame: float = preprocessing.FRAME,
    may_train: bool = True,
    demo: bool = False,
) -> Submission:
    """Store a drawing, `[[x…], [y…], [t…]]` for each stroke on a canvas of `frame` x `frame`, and have it predicted.

    Returns and raises as `accept_image` does. `demo`: a simulated hand drew it.
    """
    if not demo:
        _check_may_submit(actor)
    parsed = _parse(strokes, frame)
    kept = pictures.encode(Image.fromarray(preprocessing.render_strokes(parsed)))
    prepared = preprocessing.prepare_strokes(parsed)
    digest = hashlib.sha256(json.dumps(parsed, separators=(",", ":")).encode()).hexdigest()
    return _store(
        kept,
        prepared,
        "strokes",
        actor=actor,
        source=source,
        may_train=may_train,
        digest=digest,
        strokes=parsed,
        demo=demo,
    )


def preview_image(*, data: bytes, crop: Crop | None = None) -> Preview:
    """What the model says of a picture; nothing is stored. Raises as `accept_image` does, but not for a blank one."""
    image, box = _decode(data, crop)
    return _preview(preprocessing.prepare_image(image, crop=box))


def preview_strokes(*, strokes: object, frame: float = preprocessing.FRAME) -> Preview:
    """What the model says of a drawing; nothing is stored. Raises as `accept_strokes` does, but not for a blank one."""
    try:
        parsed = _parse(strokes, frame)
    except Refused as refusal:
        if refusal.code != "blank":
            raise
        parsed = []
    return _preview(preprocessing.prepare_strokes(parsed))


def _check_may_submit(actor: Actor) -> None:
    if actor.user is None and not settings.ANONYMOUS_SUBMISSIONS:
        raise NotAllowedError("Please sign in: this site accepts pictures from people with an account only.")


def _decode(data: bytes, crop: Crop | None) -> tuple[Image.Image, Box | None]:
    """The picture as it would be kept, and the crop box in its pixels."""
    try:
        decoded = pictures.decode(data)
    except ImageError as error:
        raise Refused(error.code, str(error), field="image") from error
    return decoded.image, None if crop is None else _scaled(crop, decoded.sent_size, decoded.image.size)


def _scaled(crop: Crop, sent: tuple[int, int], kept: tuple[int, int]) -> Box:
    """A crop box from the sent picture's pixels to the kept picture's, cut at its edges."""
    left, top, right, bottom = crop
    across, down = kept[0] / sent[0], kept[1] / sent[1]
    box = (
        max(0, math.floor(left * across)),
        max(0, math.floor(top * down)),
        min(kept[0], math.ceil(right * across)),
        min(kept[1], math.ceil(bottom * down)),
    )
    if box[2] - box[0] < SMALLEST_CROP or box[3] - box[1] < SMALLEST_CROP:
        raise Refused(
            "bad_crop",
            "The crop box holds too little of the picture. Give left, top, right, bottom in the picture's own pixels.",
            field="crop",
        )
    return box


def _parse(strokes: object, frame: float) -> list:
    try:
        return preprocessing.parse_strokes(strokes, frame=frame)
    except StrokesError as error:
        # A canvas without a stroke is what a blank picture is among pictures.
        code = "blank" if error.code == "empty" else error.code
        raise Refused(code, str(error), field="strokes") from error


def _preview(prepared: Prepared) -> Preview:
    answer = None if prepared.blank else handoff.preview(prepared, settings.PREDICTION_WAIT_SECONDS)
    return Preview(prepared, answer)


def _store(
    kept: pictures.KeptPicture,
    prepared: Prepared,
    field: str,
    *,
    actor: Actor,
    source: Source,
    may_train: bool,
    digest: str,
    strokes: list | None = None,
    crop: Box | None = None,
    demo: bool = False,
) -> Submission:
    if prepared.blank:
        raise Refused("blank", "There is nothing to see on this picture. Please send one with a digit.", field=field)
    pictures.write(kept)
    submission = Submission.objects.create(
        source=source,
        owner=actor.user,
        visitor="" if actor.user else actor.visitor,
        may_train=may_train,
        demo=demo,
        picture=kept.name,
        picture_type=kept.content_type,
        picture_width=kept.width,
        picture_height=kept.height,
        strokes=strokes,
        crop=crop and list(crop),
        digest=digest,
        fold=fold_of(digest),
        pixels=prepared.pixels.tobytes(),
        ink=prepared.ink,
        preprocessing_version=PREPROCESSING_VERSION,
    )

    def hand_over() -> None:
        pictures.write(kept)
        if not demo:  # which has all of its pictures answered at once
            handoff.push([submission.pk])

    transaction.on_commit(hand_over)
    return submission


def fold_of(digest: str) -> Fold:
    """One in HOLDOUT_EVERY is holdout. The digest alone decides, so copies of a picture fall on the same side."""
    return Fold.HOLDOUT if int(digest[:8], 16) % HOLDOUT_EVERY == 0 else Fold.TRAIN


# --- Reading ---------------------------------------------------------------------------------------------------------


def with_answers(rows: QuerySet[Submission], *, whole: bool = False) -> QuerySet[Submission]:
    """The same submissions, each with its latest prediction and that one's model version, in one query.

    What lists do not show stays in the database: the version's files, and pixels and strokes unless `whole`.
    """
    return rows.select_related("latest_prediction__version").defer(
        *(() if whole else LARGE_COLUMNS),
        *(f"latest_prediction__version__{name}" for name in LARGE_VERSION_COLUMNS),
    )


# --- Afterwards ------------------------------------------------------------------------------------------------------


def delete(*, actor: Actor, submission: Submission) -> None:
    """Delete a submission with its predictions and labels, and its picture unless an equal one was sent by somebody.

    Raises:
        NotAllowedError: it is somebody else's.
    """
    if not access.can_delete(actor, submission):
        raise NotAllowedError("Only whoever sent it, or an operator, can delete this.")
    picture = submission.picture
    submission.delete()
    transaction.on_commit(lambda: orphans.discard(picture))


def share(*, actor: Actor, submission: Submission) -> str:
    """The key of the submission's share link, made on the first call; whoever has it can look, until `unshare`.

    Raises:
        NotAllowedError: it is somebody else's.
    """
    if not access.can_share(actor, submission):
        raise NotAllowedError("Only whoever sent it can share this.")
    # Of two presses at once the first one's key stays.
    Submission.objects.filter(pk=submission.pk, share_key="").update(share_key=secrets.token_urlsafe(18))
    submission.refresh_from_db(fields=["share_key"])
    return submission.share_key


def unshare(*, actor: Actor, submission: Submission) -> None:
    """Make every share link of the submission stop working; a later `share` gives another key.

    Raises:
        NotAllowedError: it is somebody else's.
    """
    if not access.can_share(actor, submission):
        raise NotAllowedError("Only whoever sent it can stop sharing this.")
    submission.share_key = ""
    submission.save(update_fields=["share_key"])

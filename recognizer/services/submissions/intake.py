"""Validation and preparation of submitted images and drawings.

Invalid input raises `SubmissionRejectedError` before anything is stored.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from django.conf import settings

from ml import preprocessing
from ml.preprocessing import PREPROCESSING_VERSION, SIDE, Prepared, StrokesError
from ml.serving.images import ImageError, ImageHeader
from recognizer.models import Fold, Source, Submission
from recognizer.services.identity import quotas
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.throttling import Kind, limit_rate
from recognizer.services.images import storage
from recognizer.services.images.storage import Pixels
from recognizer.services.lib.errors import detach

# One image in this many is never used for training, to measure the benefit of training.
HOLDOUT_EVERY = 5
# Minimum width and height of a crop box in pixels of the stored image.
MIN_CROP = 4
# Points of a drawing; a digit has 100 to 200. Validating the maximum of 10,000 takes some 10 ms.
CHEAP_DRAWING_POINTS = 1000

Crop = Sequence[float]
Box = tuple[int, int, int, int]


class SubmissionRejectedError(ValueError):
    """The input is invalid and nothing was stored. The message is meant for the sender.

    Attributes:
        code: `empty`, `not_an_image`, `truncated`, `too_many_bytes`, `too_many_pixels`, `bad_crop` (images);
            `bad_shape`, `too_many`, `not_a_number`, `out_of_range` (strokes, pens and pixels); `blank` (all).
        field: the invalid field: `image`, `pixels`, `strokes`, `pen` or `crop`.
    """

    def __init__(self, code: str, message: str, *, field: str) -> None:
        super().__init__(message)
        self.code = code
        self.field = field


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionInput:
    """Unvalidated input of one submission: exactly one of `image`, `pixels` and `strokes`.

    Attributes:
        source: how it was submitted.
        image: the bytes of an image file.
        crop: left, top, right, bottom of the digit, in pixels of the uploaded image (upright).
        pixels: 28 rows of 28 whole numbers from 0 to 255, ink lighter or darker than paper: a small grey image.
        strokes: `[[x…], [y…], [t…]]` for each stroke on a canvas of `frame` x `frame`.
        frame: width and height of the canvas.
        pen: the pen width in the same units, one number or one for each stroke; None: 20 of 280. Only the stored image
            is drawn with it: the model gets every drawing at the width that it was trained on.
        may_train: False if the sender opted out.
        demo: whether it is simulated data of the demo.
        header: the header of the image file, once `open_input` has read it.
    """

    source: Source
    image: bytes | None = None
    crop: Crop | None = None
    pixels: object = None
    strokes: object = None
    frame: float = preprocessing.FRAME
    pen: object = None
    may_train: bool = True
    demo: bool = False
    header: ImageHeader | None = None

    @property
    def is_expensive(self) -> bool:
        """True if preparing it takes too long for other requests to wait for it. The header must have been read."""
        if self.header is not None:
            return not storage.is_cheap_to_decode(self.header)
        strokes = self.strokes if isinstance(self.strokes, list) else []
        # The strokes are not validated yet. Items of another form count as 0 points: they are rejected quickly.
        lines = (stroke[0] for stroke in strokes if isinstance(stroke, list) and stroke)
        return sum(len(line) for line in lines if isinstance(line, list)) > CHEAP_DRAWING_POINTS

    @property
    def field(self) -> str:
        """The name of the attribute that contains the digit."""
        return "image" if self.image is not None else "strokes" if self.strokes is not None else "pixels"


@dataclass(frozen=True, slots=True)
class PreparedSubmission:
    """A valid submission that is ready to be stored.

    Attributes:
        row: its row; `picture` is the name of its file.
        data: the bytes of the file.
        size: what the quota counts, in bytes.
    """

    row: Submission
    data: bytes
    size: int


def open_input(payload: SubmissionInput, *, max_pixels: int) -> SubmissionInput:
    """Return the input with the header of its image file, if it has one, without decoding the image.

    Raises:
        SubmissionRejectedError: the file is not a supported image, or exceeds a limit.
    """
    if payload.image is None:
        return payload
    try:
        return replace(payload, header=storage.open_upload(payload.image, max_pixels=max_pixels))
    except ImageError as error:
        message = str(error)
        if error.code == "too_many_pixels" and max_pixels < settings.MAX_UPLOAD_PIXELS:
            message = "This was too much at once. Please send it by itself."
        raise SubmissionRejectedError(error.code, message, field="image") from error


def prepare(payload: SubmissionInput, *, actor: Actor) -> PreparedSubmission:
    """Validate an input whose header was read, and build its file and its row.

    Raises:
        SubmissionRejectedError: the input is invalid.
        BusyError: too many large images are being decoded.
    """
    box = strokes = pens = None
    strokes_json = ""
    if payload.strokes is not None:
        strokes, pens = _parse(payload)
        image = storage.encode(preprocessing.render_strokes(strokes, pen=pens))
        prepared = preprocessing.prepare_strokes(strokes)
        strokes_json = json.dumps(strokes, separators=(",", ":"))
        digest = hashlib.sha256(strokes_json.encode()).hexdigest()
    else:
        pixels, box = _decode(payload, actor)
        image = storage.encode(pixels)
        prepared = preprocessing.prepare_image(image.pixels, crop=box)
        digest = image.sha256
    if prepared.is_empty:
        raise SubmissionRejectedError(
            "blank", "There is nothing to see on this picture. Please send one with a digit.", field=payload.field
        )
    further_pixels, further_ink = prepared.encoded_alternatives
    row = Submission(
        source=payload.source,
        owner=actor.user,
        visitor="" if actor.user else actor.visitor,
        may_train=payload.may_train,
        demo=payload.demo,
        picture=image.name,
        picture_type=image.content_type,
        picture_width=image.width,
        picture_height=image.height,
        strokes=strokes,
        pen=pens,
        crop=box and list(box),
        digest=digest,
        fold=fold_of(digest),
        pixels=prepared.pixels.tobytes(),
        ink=prepared.ink,
        further_pixels=further_pixels,
        further_ink=further_ink,
        preprocessing_version=PREPROCESSING_VERSION,
    )
    # Without `EncodedImage.pixels`, which would take too much memory in a batch of a hundred.
    # The stored JSON of the strokes has a space after each comma.
    strokes_size = len(strokes_json) + strokes_json.count(",")
    further_size = len(further_pixels) + len(str(further_ink))
    size = len(image.data) + strokes_size + len(str(pens or "")) + further_size + quotas.SUBMISSION_ROW_BYTES
    return PreparedSubmission(row, image.data, size)


@limit_rate(Kind.SUBMIT)
def prepare_all(
    inputs: Sequence[SubmissionInput], *, actor: Actor
) -> list[PreparedSubmission | SubmissionRejectedError]:
    """Prepare several inputs of one request.

    The caller has checked with `permissions.require_submitter` that the actor may submit.

    All images together may have MAX_UPLOAD_PIXELS pixels, which take about a second to decode.

    Args:
        inputs: the images and drawings of one request.
        actor: the sender.

    Returns:
        For each input what to store, or the error that rejects it.

    Raises:
        throttling.ThrottledError: the rate limit is exceeded.
        BusyError: too many large images are being decoded.
    """
    prepared: list[PreparedSubmission | SubmissionRejectedError] = []
    pixels_left = settings.MAX_UPLOAD_PIXELS
    for item in inputs:
        try:
            opened = open_input(item, max_pixels=pixels_left)
            pixels_left -= math.prod(opened.header.size) if opened.header is not None else 0
            prepared.append(prepare(opened, actor=actor))
        except SubmissionRejectedError as error:
            prepared.append(detach(error))
    return prepared


@limit_rate(Kind.PREVIEW)
def prepare_preview(payload: SubmissionInput, *, actor: Actor) -> Prepared:
    """Return the input of the model. Raises as `prepare`, and `SubmissionRejectedError` unless the input is blank."""
    if payload.strokes is None:
        pixels, box = _decode(open_input(payload, max_pixels=settings.MAX_UPLOAD_PIXELS), actor)
        return preprocessing.prepare_image(pixels, crop=box)
    try:
        strokes, _ = _parse(payload)
    except SubmissionRejectedError as error:
        if error.code != "blank":
            raise
        strokes = []
    return preprocessing.prepare_strokes(strokes)


def fold_of(digest: str) -> Fold:
    """Return the fold of an image: holdout for one in HOLDOUT_EVERY.

    It depends on the digest alone, so that all copies of an image are in the same fold.
    """
    return Fold.HOLDOUT if int(digest[:8], 16) % HOLDOUT_EVERY == 0 else Fold.TRAIN


def _decode(payload: SubmissionInput, actor: Actor) -> tuple[Pixels, Box | None]:
    """Return the image in the size in which it is stored, and the crop box in its pixels."""
    if payload.header is None:
        return _from_numbers(payload.pixels), None
    try:
        pixels, upload_size = storage.decode(payload.header, caller=actor.caller_key)
    except ImageError as error:
        raise SubmissionRejectedError(error.code, str(error), field="image") from error
    if payload.crop is None:
        return pixels, None
    height, width = pixels.shape[:2]
    return pixels, scale_crop(payload.crop, upload_size, (width, height))


def _from_numbers(rows: object) -> Pixels:
    if (
        not isinstance(rows, list)
        or len(rows) != SIDE
        or any(not isinstance(row, list) or len(row) != SIDE for row in rows)
    ):
        raise SubmissionRejectedError("bad_shape", "Pixels must be 28 rows of 28 numbers each.", field="pixels")
    # By type, because isinstance(True, int) holds.
    if any(set(map(type, row)) != {int} for row in rows):
        raise SubmissionRejectedError("not_a_number", "Pixels must be whole numbers from 0 to 255.", field="pixels")
    try:
        return np.frombuffer(b"".join(map(bytes, rows)), np.uint8).reshape(SIDE, SIDE)
    except ValueError as error:
        raise SubmissionRejectedError(
            "out_of_range", "Pixels must be whole numbers from 0 to 255.", field="pixels"
        ) from error


def scale_crop(crop: Crop, upload_size: tuple[int, int], stored_size: tuple[int, int]) -> Box:
    """Convert a crop box from pixels of the upload to pixels of the stored image, clipped at its edges.

    Raises:
        SubmissionRejectedError: the box is too small.
    """
    left, top, right, bottom = crop
    x_scale, y_scale = stored_size[0] / upload_size[0], stored_size[1] / upload_size[1]
    box = (
        max(0, math.floor(left * x_scale)),
        max(0, math.floor(top * y_scale)),
        min(stored_size[0], math.ceil(right * x_scale)),
        min(stored_size[1], math.ceil(bottom * y_scale)),
    )
    if box[2] - box[0] < MIN_CROP or box[3] - box[1] < MIN_CROP:
        raise SubmissionRejectedError(
            "bad_crop",
            "The crop box holds too little of the picture. Give left, top, right, bottom in the picture's own pixels.",
            field="crop",
        )
    return box


def _parse(payload: SubmissionInput) -> tuple[list[Any], list[float] | None]:
    """Return the parsed strokes, and the pen width of each stroke or None."""
    try:
        strokes = preprocessing.parse_strokes(payload.strokes, frame=payload.frame)
    except StrokesError as error:
        # A canvas without a stroke is a blank image.
        code = "blank" if error.code == "empty" else error.code
        raise SubmissionRejectedError(code, str(error), field="strokes") from error
    if payload.pen is None:
        return strokes, None
    try:
        # `parse_strokes` accepts only lists and tuples.
        items = cast("list[Any] | tuple[Any, ...]", payload.strokes)
        return strokes, preprocessing.parse_pens(payload.pen, items, frame=payload.frame)
    except StrokesError as error:
        raise SubmissionRejectedError(error.code, str(error), field="pen") from error

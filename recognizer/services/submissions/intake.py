"""Drafts: what somebody sent, checked and made ready to be stored.

Everything that can be wrong with what was sent is one exception, `SubmissionRejectedError`, raised before anything is
stored.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from django.conf import settings

from ml import preprocessing
from ml.preprocessing import PREPROCESSING_VERSION, Prepared, StrokesError
from ml.serving.images import ImageError, ImageHeader
from recognizer.models import Fold, Source, Submission
from recognizer.services.identity import quotas
from recognizer.services.identity.actors import Actor
from recognizer.services.images import storage
from recognizer.services.images.storage import StoredFile
from recognizer.services.lib.errors import detach

# One picture in this many is kept away from training for ever, to measure the benefit of training.
HOLDOUT_EVERY = 5
MIN_CROP = 4
# Points; a digit has a hundred or two. The most that is accepted, ten thousand, takes some ten milliseconds to check.
CHEAP_DRAWING_POINTS = 1000
SIDE = 28

Crop = Sequence[float]
Box = tuple[int, int, int, int]


class SubmissionRejectedError(ValueError):
    """What was sent cannot be accepted, and nothing was stored. The message is meant for the sender.

    Attributes:
        code: `empty`, `not_an_image`, `truncated`, `too_many_bytes`, `too_many_pixels`, `bad_crop` (pictures);
            `bad_shape`, `too_many`, `not_a_number`, `out_of_range` (strokes, pens and pixels); `blank` (all).
        field: which part of what was sent is meant: `image`, `pixels`, `strokes`, `pen` or `crop`.
    """

    def __init__(self, code: str, message: str, *, field: str) -> None:
        super().__init__(message)
        self.code = code
        self.field = field


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionInput:
    """One digit as somebody sent it: exactly one of `image`, `pixels` and `strokes`, unchecked.

    Attributes:
        image: the bytes of a file.
        crop: left, top, right, bottom of the digit, in pixels of the picture as it was sent (upright).
        pixels: 28 rows of 28 whole numbers from 0 to 255, ink lighter or darker than paper: a small grey picture.
        strokes: `[[x…], [y…], [t…]]` for each stroke on a canvas of `frame` x `frame`.
        pen: its width in the same units, one number or one for each stroke; None: 20 of 280. Only the kept picture is
            drawn with it: the model gets every drawing at the width that it was trained on.
        may_train: False when the sender opted out.
        demo: a simulated hand drew it.
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

    @property
    def field(self) -> str:
        """The name of what holds the digit."""
        return "image" if self.image is not None else "strokes" if self.strokes is not None else "pixels"


@dataclass(frozen=True, slots=True)
class PreparedSubmission:
    """What will be stored: the file first, then the row."""

    file: StoredFile
    row: Submission
    size: int


@dataclass(frozen=True, slots=True)
class OpenedInput:
    """What was sent, and of a file what its header tells."""

    sent: SubmissionInput
    opened: ImageHeader | None

    @property
    def takes_long(self) -> bool:
        """Whether others had better not wait until it is decoded, or drawn."""
        if self.opened is not None:
            return not storage.is_cheap_to_decode(self.opened)
        strokes = self.sent.strokes if isinstance(self.sent.strokes, list) else []
        # Unchecked as yet: whatever else it holds is refused at the first look.
        lines = (stroke[0] for stroke in strokes if isinstance(stroke, list) and stroke)
        return sum(len(line) for line in lines if isinstance(line, list)) > CHEAP_DRAWING_POINTS


def open_input(sent: SubmissionInput) -> OpenedInput:
    """Look at what was sent as far as that takes no time.

    Raises:
        Refused: it cannot be accepted, that much is plain.
    """
    if sent.image is None:
        return OpenedInput(sent, None)
    try:
        return OpenedInput(sent, storage.open_upload(sent.image))
    except ImageError as error:
        raise SubmissionRejectedError(error.code, str(error), field="image") from error


def prepare(begun: OpenedInput, *, actor: Actor) -> PreparedSubmission:
    """Check what was sent, and make the file and the row of it.

    Raises:
        Refused: it cannot be accepted; says why.
        BusyError: too many large pictures at once.
    """
    sent = begun.sent
    box = strokes = pens = None
    written = ""
    if sent.strokes is not None:
        strokes, pens = _parse(sent)
        kept = storage.encode(preprocessing.render_strokes(strokes, pen=pens))
        prepared = preprocessing.prepare_strokes(strokes)
        written = json.dumps(strokes, separators=(",", ":"))
        digest = hashlib.sha256(written.encode()).hexdigest()
    else:
        pixels, box = _picture(begun, actor)
        kept = storage.encode(pixels)
        prepared = preprocessing.prepare_image(kept.pixels, crop=box)
        digest = kept.sha256
    if prepared.blank:
        raise SubmissionRejectedError(
            "blank", "There is nothing to see on this picture. Please send one with a digit.", field=sent.field
        )
    row = Submission(
        source=sent.source,
        owner=actor.user,
        visitor="" if actor.user else actor.visitor,
        may_train=sent.may_train,
        demo=sent.demo,
        picture=kept.name,
        picture_type=kept.content_type,
        picture_width=kept.width,
        picture_height=kept.height,
        strokes=strokes,
        pen=pens,
        crop=box and list(box),
        digest=digest,
        fold=fold_of(digest),
        pixels=prepared.pixels.tobytes(),
        ink=prepared.ink,
        preprocessing_version=PREPROCESSING_VERSION,
    )
    # Without the pixels, which in a batch of a hundred would take too much memory.
    # The column of the strokes has a blank after each comma.
    size = len(kept.data) + len(written) + written.count(",") + len(str(pens or "")) + quotas.SUBMISSION_ROW_BYTES
    return PreparedSubmission(StoredFile(kept.name, kept.data), row, size)


def prepare_all(
    sent: Iterable[SubmissionInput], *, actor: Actor
) -> Iterator[PreparedSubmission | SubmissionRejectedError]:
    """Each of what was sent together, in its order, or why it is refused: one bad picture spoils no other.

    All pictures together may have MAX_UPLOAD_PIXELS pixels: decoding takes a second for so many.
    """
    room = settings.MAX_UPLOAD_PIXELS
    for one in sent:
        try:
            begun = open_input(one)
            if begun.opened is not None:
                width, height = begun.opened.size
                if width * height > room:
                    text = "This was too much at once. Please send it by itself."
                    raise SubmissionRejectedError("too_many_pixels", text, field="image")
                room -= width * height
            yield prepare(begun, actor=actor)
        except SubmissionRejectedError as refusal:
            yield detach(refusal)


def preview_input(begun: OpenedInput, *, actor: Actor) -> Prepared:
    """What the model would see. Raises as `prepare` does, but a blank picture is no error here."""
    sent = begun.sent
    if sent.strokes is None:
        pixels, box = _picture(begun, actor)
        return preprocessing.prepare_image(pixels, crop=box)
    try:
        strokes, _ = _parse(sent)
    except SubmissionRejectedError as refusal:
        if refusal.code != "blank":
            raise
        strokes = []
    return preprocessing.prepare_strokes(strokes)


def fold_of(digest: str) -> Fold:
    """One in HOLDOUT_EVERY is holdout. The digest alone decides, so copies of a picture fall on the same side."""
    return Fold.HOLDOUT if int(digest[:8], 16) % HOLDOUT_EVERY == 0 else Fold.TRAIN


def _picture(begun: OpenedInput, actor: Actor) -> tuple[np.ndarray, Box | None]:
    """The picture as it would be kept, and the crop box in its pixels."""
    sent = begun.sent
    if begun.opened is None:
        return _from_numbers(sent.pixels), None
    try:
        decoded = storage.decode(begun.opened, caller=actor.share_key)
    except ImageError as error:
        raise SubmissionRejectedError(error.code, str(error), field="image") from error
    if sent.crop is None:
        return decoded.pixels, None
    height, width = decoded.pixels.shape[:2]
    return decoded.pixels, _scaled(sent.crop, decoded.upload_size, (width, height))


def _from_numbers(rows: object) -> np.ndarray:
    is_square = isinstance(rows, list) and len(rows) == SIDE and all(isinstance(row, list) for row in rows)
    if not is_square or any(len(row) != SIDE for row in rows):
        raise SubmissionRejectedError("bad_shape", "Pixels must be 28 rows of 28 numbers each.", field="pixels")
    # type and not isinstance: true is an int to Python, but no grey.
    if any(set(map(type, row)) != {int} for row in rows):
        raise SubmissionRejectedError("not_a_number", "Pixels must be whole numbers from 0 to 255.", field="pixels")
    try:
        return np.frombuffer(b"".join(map(bytes, rows)), np.uint8).reshape(SIDE, SIDE)
    except ValueError as error:
        raise SubmissionRejectedError(
            "out_of_range", "Pixels must be whole numbers from 0 to 255.", field="pixels"
        ) from error


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
    if box[2] - box[0] < MIN_CROP or box[3] - box[1] < MIN_CROP:
        raise SubmissionRejectedError(
            "bad_crop",
            "The crop box holds too little of the picture. Give left, top, right, bottom in the picture's own pixels.",
            field="crop",
        )
    return box


def _parse(sent: SubmissionInput) -> tuple[list, list[float] | None]:
    """The strokes, and the pen of each; no pens where none was named."""
    try:
        strokes = preprocessing.parse_strokes(sent.strokes, frame=sent.frame)
    except StrokesError as error:
        # A canvas without a stroke is what a blank picture is among pictures.
        code = "blank" if error.code == "empty" else error.code
        raise SubmissionRejectedError(code, str(error), field="strokes") from error
    if sent.pen is None:
        return strokes, None
    try:
        return strokes, preprocessing.parse_pens(sent.pen, sent.strokes, frame=sent.frame)
    except StrokesError as error:
        raise SubmissionRejectedError(error.code, str(error), field="pen") from error

"""Time of each stage of a stored prediction, and lower bounds for it.

    python -m bench.breakdown

Calls the functions of a request one after the other in this process, on a temporary site with a real worker, and posts
the same kind of image to a site that was started as `make run` does. Calls and requests take turns, because a busy
machine changes its speed. The lower bounds are decoding, preprocessing, inference, one insert and one file, each
measured alone. Medians of wall time; on an idle machine they can be added up.
"""

import io
import itertools
import logging
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from PIL import Image

import digitsite.testing.environment  # noqa: F401  sets a temporary DATA_DIR before Django reads its settings
from bench import serving
from bench.support import load
from bench.support import request_bodies as bodies

if TYPE_CHECKING:  # the import reads the settings
    from digitsite.testing.site import Site
    from recognizer.requests import SiteRequest
    from recognizer.services.identity.actors import Actor
    from recognizer.services.submissions.intake import PreparedSubmission
    from recognizer.storage import DurableFileStorage

TIMES = 300
# Requests in one turn; the first turn warms up.
TURN = 30
Columns = dict[str, list[float]]
PREPARE_AGAIN = "the same in one call, for the row"
DECODE, PREPROCESS = "decode", "preprocess"
HTTP = "the same over HTTP, one client"
REFUSED = "a request over HTTP that is refused for its body"


def main() -> int:
    """Measure, print both tables and return the exit status."""
    import django

    django.setup()
    logging.disable(logging.INFO)  # in this process only: the worker logs when it is ready
    from digitsite.testing.site import Site, migrated_database

    # Different images over HTTP: a repeated image would not be written again.
    images = bodies.canvases(2 * (TIMES + TURN))
    files, posted_files = images[: TIMES + TURN], images[TIMES + TURN :]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inner = Site(migrated_database(folder))
        try:
            inner.start_redis()
            inner.start_worker()
            with inner.entered():
                warm_up()
            with serving.start_site(None, folder / "data") as site, load.Connection(site.url) as connection:
                turns = [
                    turn(inner, connection, files[start : start + TURN], posted_files[start : start + TURN])
                    for start in range(0, len(files), TURN)
                ]
            floors = lower_bounds(files, inner.folder)
        finally:
            inner.stop()
    stages = {
        name: statistics.median(itertools.chain.from_iterable(columns[name] for columns in turns[1:]))
        for name in turns[0]
    }
    refused = stages.pop(REFUSED)
    show("One 280x280 RGBA canvas, stored and answered, ms", stages)
    over_http = stages.pop(HTTP)
    between = over_http - sum(stages.values())
    print(f"{between:9.2f}  left for HTTP, Django, REST framework, limits and logs")
    print(f"{over_http - stages[DECODE] - stages[PREPROCESS]:9.2f}  over HTTP, without decode and preprocess (goal: 4)")
    print(f"{refused:9.2f}  {REFUSED}")
    show("Lower bounds, ms", floors)
    print(f"{sum(floors.values()):9.2f}  in total")
    return 0


def warm_up() -> None:
    """Store images as `serving.warm_up` does, in this process."""
    from recognizer.services.identity.actors import Actor
    from recognizer.services.submissions import writer
    from recognizer.services.submissions.writer import WriteRequest

    actor = Actor(visitor="a" * 32)
    items = prepare(bodies.noise(serving.WARM_UP_IMAGES), actor)
    writer.store(WriteRequest(actor=actor, items=items, wait=True, timeout=10))


def prepare(files: Sequence[bytes], actor: "Actor") -> list["PreparedSubmission"]:
    """Return what to store for valid images."""
    from recognizer.models import Source
    from recognizer.services.submissions import intake
    from recognizer.services.submissions.intake import SubmissionInput, SubmissionRejectedError

    items = list["PreparedSubmission"]()
    for item in intake.prepare_all([SubmissionInput(source=Source.API, image=file) for file in files], actor=actor):
        if isinstance(item, SubmissionRejectedError):
            raise item
        items.append(item)
    return items


def turn(inner: "Site", connection: load.Connection, files: Sequence[bytes], posted_files: Sequence[bytes]) -> Columns:
    """Return the milliseconds of each stage and of whole requests over HTTP."""
    with inner.entered():
        columns = stages_of_requests(files)
    columns[HTTP] = over_http(connection, posted_files, status=201)
    columns[REFUSED] = over_http(connection, [b"x"] * len(posted_files), status=415)
    return columns


def stages_of_requests(files: Sequence[bytes]) -> Columns:
    """Return the milliseconds of each step of `service.create_submission` and of the response, for each file."""
    from django.core.files.storage import default_storage
    from django.db import transaction
    from django.test import RequestFactory

    from ml import preprocessing
    from recognizer.api.views.create import submission_document
    from recognizer.services.identity.actors import SYSTEM_ACTOR, Actor
    from recognizer.services.images import storage
    from recognizer.services.inference import producer
    from recognizer.services.lib import bulk_insert, fsync

    columns: Columns = {}
    actor = Actor(visitor="a" * 32)
    request = cast("SiteRequest", RequestFactory().get("/", headers={"host": "localhost"}))
    request.actor = actor
    for file in files:
        marks = [("", time.perf_counter())]

        def mark(name: str, marks: list[tuple[str, float]] = marks) -> None:
            marks.append((name, time.perf_counter()))

        pixels, _ = storage.decode(storage.open_upload(file), caller=SYSTEM_ACTOR.caller_key)
        mark(DECODE)
        encoded = storage.encode(pixels)
        mark("encode the stored image")
        preprocessing.prepare_image(encoded.pixels)
        mark(PREPROCESS)
        row = prepare([file], actor)[0].row
        mark(PREPARE_AGAIN)
        with fsync.relaxed_sync(), transaction.atomic():
            path = cast("DurableFileStorage", default_storage).save_unsynced(encoded.name, encoded.data)
            mark("write the image")
            bulk_insert.insert([row])
        mark("insert and commit")
        reply_to = producer.new_reply_list()
        producer.enqueue([row.pk], reply_to=reply_to)
        mark("enqueue")
        fsync.flush([path])
        mark("fsync, while the worker computes")
        producer.wait([row], reply_to=reply_to, timeout=10)
        mark("wait for the result")
        submission_document(request, row, "")
        mark("serialize the response")
        if row.latest_prediction is None:
            raise RuntimeError(f"submission {row.pk} has no prediction")
        for (_, before), (name, after) in itertools.pairwise(marks):
            columns.setdefault(name, []).append((after - before) * 1000)
    del columns[PREPARE_AGAIN]
    return columns


def over_http(connection: load.Connection, files: Sequence[bytes], *, status: int) -> list[float]:
    """Post the files one after the other and return the milliseconds of each.

    Raises:
        RuntimeError: If a response has another status than `status`.
    """
    times = []
    for file in files:
        answered, milliseconds = connection.request("POST", "/api/v1/submissions", bodies.form([file]), bodies.FORM)
        if answered != status:
            raise RuntimeError(f"The site answered {answered} instead of {status}.")
        times.append(milliseconds)
    return times


def lower_bounds(files: Sequence[bytes], folder: Path) -> dict[str, float]:
    """Return the milliseconds of the unavoidable work, each part measured alone."""
    from ml.preprocessing import prepare_image
    from ml.serving.bundle import BASE_FOLDER, BUNDLE_FILE
    from ml.serving.classifier import load_classifier

    images = [Image.open(io.BytesIO(file)).convert("RGBA") for file in files]
    classifier = load_classifier((BASE_FOLDER / BUNDLE_FILE).read_bytes(), sha256=None)
    prepared = [prepare_image(image) for image in images]
    database = sqlite3.connect(folder / "floor.sqlite3", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=NORMAL")
    database.execute("CREATE TABLE row (pixels BLOB, answer TEXT)")
    insert = "INSERT INTO row VALUES (?, '')"

    def write(number: int) -> None:
        path = folder / f"floor-{number}"
        with path.open("wb") as file:
            file.write(files[number])
            os.fsync(file.fileno())

    return {
        DECODE: _median(lambda number: Image.open(io.BytesIO(files[number])).load()),
        PREPROCESS: _median(lambda number: prepare_image(images[number])),
        "inference": _median(lambda number: classifier.answer_readings([prepared[number].readings])),
        "one insert": _median(lambda number: database.execute(insert, (prepared[number].pixels.tobytes(),))),
        "one file with fsync": _median(write),
    }


def _median(work: Callable[[int], object]) -> float:
    times = []
    for number in range(TIMES):
        started = time.perf_counter()
        work(number)
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def show(title: str, figures: dict[str, float]) -> None:
    """Print a table of milliseconds."""
    print(f"\n{title}")
    for name, milliseconds in figures.items():
        print(f"{milliseconds:9.2f}  {name}")


if __name__ == "__main__":
    sys.exit(main())

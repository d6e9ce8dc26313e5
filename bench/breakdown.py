"""Where the time of one stored prediction goes, and what it costs at the very least.

    python -m bench.breakdown

Calls the very functions of a request one after the other in this process, on a site of its own with a real worker;
posts the same kind of picture to a site as `make run` starts it, in turns with these calls, for a busy machine changes
its speed; and beside that the floor: decoding, preprocessing, arithmetic, one insert, one file, each with nothing
around it. Medians of wall time; on a quiet machine they can be added up.
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
from typing import TYPE_CHECKING

from PIL import Image

import digitsite.testing.environment  # noqa: F401  names a data folder of its own before Django reads its settings
from bench import load, serving
from bench import pictures as bodies

if TYPE_CHECKING:  # which reads the settings
    from digitsite.testing.site import Site

TIMES = 300
# Requests in one turn; the first turn warms.
TURN = 30
Columns = dict[str, list[float]]
ALL_AGAIN = "all of this in one call, for the row"
DECODE, PREPROCESS = "decode", "preprocess"
HTTP = "the same over HTTP, one client"
REFUSED = "a request over HTTP that is refused for its body"


def main() -> int:
    import django

    django.setup()
    logging.disable(logging.INFO)  # this process's alone: the worker says when it is ready
    from digitsite.testing.site import Site, migrated_database

    # Others over HTTP: what was sent before is a copy, and its file is there.
    both = bodies.canvases(2 * (TIMES + TURN))
    files, others = both[: TIMES + TURN], both[TIMES + TURN :]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inner = Site(migrated_database(folder))
        try:
            inner.start_redis()
            inner.start_worker()
            with inner.entered():
                use()
            with serving.started(None, folder / "data") as site, load.Connection(site.url) as connection:
                turns = [
                    turn(inner, connection, files[start : start + TURN], others[start : start + TURN])
                    for start in range(0, len(files), TURN)
                ]
            floors = least(files, inner.folder)
        finally:
            inner.stop()
    stages = {
        name: statistics.median(itertools.chain.from_iterable(one[name] for one in turns[1:])) for name in turns[0]
    }
    refused = stages.pop(REFUSED)
    show("One 280x280 RGBA canvas, stored and answered, ms", stages)
    over_http = stages.pop(HTTP)
    between = over_http - sum(stages.values())
    print(f"{between:9.2f}  left for HTTP, Django, REST framework, limits and logs")
    print(f"{over_http - stages[DECODE] - stages[PREPROCESS]:9.2f}  over HTTP, beside decode and preprocess (goal: 4)")
    print(f"{refused:9.2f}  {REFUSED}")
    show("The least that it could cost, ms", floors)
    print(f"{sum(floors.values()):9.2f}  in all")
    return 0


def use() -> None:
    """As `serving.use`, in this process."""
    from recognizer.models import Source
    from recognizer.services.identity.actors import Actor
    from recognizer.services.submissions import service
    from recognizer.services.submissions.intake import SubmissionInput

    files = bodies.noise(serving.PICTURES_BEFORE)
    sent = [SubmissionInput(source=Source.API, image=file) for file in files]
    service.create_submissions(actor=Actor(visitor="a" * 32), payloads=sent, seconds=10)


def turn(inner: "Site", connection: load.Connection, files: Sequence[bytes], others: Sequence[bytes]) -> Columns:
    """Milliseconds of each stage, and of whole requests over HTTP."""
    with inner.entered():
        columns = of_a_request(files)
    columns[HTTP] = over_http(connection, others, status=201)
    columns[REFUSED] = over_http(connection, [b"x"] * len(others), status=415)
    return columns


def of_a_request(files: Sequence[bytes]) -> Columns:
    """What `services.submissions.service.create_submission` does and what comes after it, in milliseconds."""
    from django.db import transaction
    from django.test import RequestFactory

    from ml import preprocessing
    from recognizer.api.serializers.submissions import StoredSubmissionSerializer
    from recognizer.models import Source
    from recognizer.services.identity.actors import Actor
    from recognizer.services.images import storage
    from recognizer.services.inference import handoff
    from recognizer.services.lib import bulk_insert, fsync
    from recognizer.services.submissions import intake
    from recognizer.services.submissions.intake import SubmissionInput

    columns: Columns = {}
    actor = Actor(visitor="a" * 32)
    request = RequestFactory().get("/", headers={"host": "localhost"})
    request.actor = actor
    for file in files:
        marks = [("", time.perf_counter())]

        def mark(name: str, marks: list = marks) -> None:
            marks.append((name, time.perf_counter()))

        decoded = storage.decode(storage.open_upload(file))
        mark(DECODE)
        kept = storage.encode(decoded.pixels)
        mark("encode what is kept")
        preprocessing.prepare_image(kept.pixels)
        mark(PREPROCESS)
        row = intake.prepare(intake.open_input(SubmissionInput(source=Source.API, image=file)), actor=actor).row
        mark(ALL_AGAIN)
        written: list[str] = []
        with fsync.relaxed_sync(), transaction.atomic():
            with fsync.deferred_sync(written):
                storage.write(kept)
            mark("write the picture")
            bulk_insert.insert([row])
        mark("insert and commit")
        handoff.push([row.pk])
        mark("hand over")
        fsync.flush(written)
        mark("wait for the disk, while the worker computes")
        handoff.wait_for(row, 10)
        mark("wait for the answer")
        StoredSubmissionSerializer.represent(row, {"request": request, "key": "", "read_key": ""})
        mark("make the JSON")
        if row.latest_prediction is None:
            raise RuntimeError(f"no answer to submission {row.pk}")
        for (_, before), (name, after) in itertools.pairwise(marks):
            columns.setdefault(name, []).append((after - before) * 1000)
    del columns[ALL_AGAIN]
    return columns


def over_http(connection: load.Connection, files: Sequence[bytes], *, status: int) -> list[float]:
    """Milliseconds of posting one after the other, each of which shall be answered with this status."""
    took = []
    for file in files:
        answered, milliseconds = connection.ask("POST", "/api/v1/submissions", bodies.form([file]), bodies.FORM)
        if answered != status:
            raise RuntimeError(f"The site answered {answered} instead of {status}.")
        took.append(milliseconds)
    return took


def least(files: Sequence[bytes], folder: Path) -> dict[str, float]:
    """What remains when everything around the work is taken away, in milliseconds."""
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

    def written(number: int) -> None:
        path = folder / f"floor-{number}"
        with path.open("wb") as file:
            file.write(files[number])
            os.fsync(file.fileno())

    return {
        DECODE: _median(lambda number: Image.open(io.BytesIO(files[number])).load()),
        PREPROCESS: _median(lambda number: prepare_image(images[number])),
        "the model, alone": _median(
            lambda number: classifier.answer(prepared[number].pixels[None], [prepared[number].ink])
        ),
        "one insert": _median(lambda number: database.execute(insert, (prepared[number].pixels.tobytes(),))),
        "one file on the disk": _median(written),
    }


def _median(act: Callable[[int], object]) -> float:
    took = []
    for number in range(TIMES):
        started = time.perf_counter()
        act(number)
        took.append((time.perf_counter() - started) * 1000)
    return statistics.median(took)


def show(title: str, figures: dict[str, float]) -> None:
    print(f"\n{title}")
    for name, milliseconds in figures.items():
        print(f"{milliseconds:9.2f}  {name}")


if __name__ == "__main__":
    sys.exit(main())

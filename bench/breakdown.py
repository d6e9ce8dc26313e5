"""Where the time of one stored prediction goes, and what it costs at the very least.

    python -m bench.breakdown

Calls the very functions of a request one after the other in this process, on a site of its own with a real worker and
web server, and beside that the floor: decoding, preprocessing, arithmetic, one insert, one exchange over HTTP, each
with nothing around it. Medians of wall time; on a quiet machine, in one run, they can be added up.
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

import tests.environment  # noqa: F401  names a data folder of its own before Django reads its settings
from bench import load
from bench import pictures as bodies

if TYPE_CHECKING:  # which reads the settings
    from tests.support.site import Site

TIMES = 300
WARMING = 30
ALL_AGAIN = "all of this in one call, for the row"
HTTP = "the same over HTTP, one client"


def main() -> int:
    import django

    django.setup()
    logging.disable(logging.INFO)  # this process's alone: the worker says when it is ready
    from tests.support.site import Site, migrated_database

    # Others over HTTP: what was sent before is a copy, and its file is there.
    both = bodies.canvases(2 * (TIMES + WARMING))
    files, others = both[: TIMES + WARMING], both[TIMES + WARMING :]
    with tempfile.TemporaryDirectory() as folder:
        site = Site(migrated_database(Path(folder)))
        try:
            site.start_redis()
            site.start_worker()
            site.start_web()
            with site.entered():
                stages = of_a_request(files)
            stages[HTTP] = over_http(site, others, status=201)
            refused = over_http(site, [b"x"] * len(files), status=415)
            floors = least(files, site.folder)
        finally:
            site.stop()
    show("One 280x280 RGBA canvas, stored and answered, ms", stages)
    between = stages.pop(HTTP) - sum(stages.values())
    print(f"{between:9.2f}  left for HTTP, Django, REST framework, limits and logs")
    print(f"{refused:9.2f}  a request over HTTP that is refused for its body")
    show("The least that it could cost, ms", floors)
    print(f"{sum(floors.values()):9.2f}  in all")
    return 0


def of_a_request(files: Sequence[bytes]) -> dict[str, float]:
    """Medians of what `services.submissions.accept` does and of what comes after it, in milliseconds."""
    from django.db import transaction
    from django.test import RequestFactory

    from ml import preprocessing
    from recognizer.api.serializers import StoredSubmissionSerializer
    from recognizer.models import Source
    from recognizer.services import drafts, durability, handoff, pictures, rows
    from recognizer.services.actors import Actor
    from recognizer.services.drafts import Sent

    columns: dict[str, list[float]] = {}
    actor = Actor(visitor="a" * 32)
    request = RequestFactory().get("/", headers={"host": "localhost"})
    request.actor = actor
    for number, file in enumerate(files):
        marks = [("", time.perf_counter())]

        def mark(name: str, marks: list = marks) -> None:
            marks.append((name, time.perf_counter()))

        decoded = pictures.decode(pictures.open_sent(file))
        mark("decode")
        kept = pictures.encode(decoded.pixels)
        mark("encode what is kept")
        preprocessing.prepare_image(kept.pixels)
        mark("preprocess")
        row = drafts.draft(drafts.begin(Sent(source=Source.API, image=file)), actor=actor).row
        mark(ALL_AGAIN)
        written: list[str] = []
        with durability.repeatable(), transaction.atomic():
            with durability.later(written):
                pictures.write(kept)
            mark("write the picture")
            rows.insert([row])
        mark("insert and commit")
        handoff.push([row.pk])
        mark("hand over")
        durability.wait(written)
        mark("wait for the disk, while the worker computes")
        handoff.wait_for_all([row], 10)
        mark("wait for the answer")
        StoredSubmissionSerializer.shown(row, {"request": request, "key": "", "read_key": ""})
        mark("make the JSON")
        if row.latest_prediction is None:
            raise RuntimeError(f"no answer to submission {row.pk}")
        if number >= WARMING:
            for (_, before), (name, after) in itertools.pairwise(marks):
                columns.setdefault(name, []).append((after - before) * 1000)
    columns.pop(ALL_AGAIN)
    return {name: statistics.median(column) for name, column in columns.items()}


def over_http(site: "Site", files: Sequence[bytes], *, status: int) -> float:
    """Median milliseconds of posting one after the other, each of which shall be answered with this status."""
    took = []
    with load.Connection(f"http://127.0.0.1:{site.port}") as connection:
        for file in files:
            answered, milliseconds = connection.ask("POST", "/api/v1/submissions", bodies.form([file]), bodies.FORM)
            if answered != status:
                raise RuntimeError(f"The site answered {answered} instead of {status}.")
            took.append(milliseconds)
    return statistics.median(took[WARMING:])


def least(files: Sequence[bytes], folder: Path) -> dict[str, float]:
    """What remains when everything around the work is taken away, in milliseconds."""
    from ml.bundle import BASE_FOLDER, BUNDLE_FILE
    from ml.classifier import load_classifier
    from ml.preprocessing import prepare_image

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
        "decode": _median(lambda number: Image.open(io.BytesIO(files[number])).load()),
        "preprocess": _median(lambda number: prepare_image(images[number])),
        "the model, alone": _median(
            lambda number: classifier.answer(prepared[number].pixels[None], [prepared[number].ink])
        ),
        "one insert": _median(lambda number: database.execute(insert, (prepared[number].pixels.tobytes(),))),
        "one file on the disk": _median(written),
    }


def _median(act: Callable[[int], object]) -> float:
    took = []
    for number in range(TIMES + WARMING):
        started = time.perf_counter()
        act(number)
        took.append((time.perf_counter() - started) * 1000)
    return statistics.median(took[WARMING:])


def show(title: str, figures: dict[str, float]) -> None:
    print(f"\n{title}")
    for name, milliseconds in figures.items():
        print(f"{milliseconds:9.2f}  {name}")


if __name__ == "__main__":
    sys.exit(main())

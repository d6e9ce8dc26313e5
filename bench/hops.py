"""Count the hops of a request: `python -m bench.hops`.

A hop is a call from one module of the project into another, in the processes of a real site. These are none: calls of
recognizer.services.lib, of the models, of the caller's rights and of the file storage, calls by a framework, the web
server or middleware, calls between the modules of ml, and properties. Several calls of one function by one module count
once. A shape is a class of `recognizer` whose instances are passed between its modules.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import digitsite.testing.environment  # noqa: F401 - before Django reads its settings

from . import load, request_bodies

ROOT = Path(__file__).resolve().parent.parent
WARM_UP_REQUESTS, TRIES = 20, 5
# Who sent it and how it is handled; they do not carry the digit.
NOT_SHAPES = {
    "Actor",
    "BodySerializers",
    "Kind",
    "Mode",
    "ModelVersion",
    "Request",
    "Scope",
    "SubmissionState",
    "SubmissionsView",
}
Hop = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the hops of one upload."""
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="hops-"))
    try:
        (folder / "sitecustomize.py").write_text("from bench import hop_recorder\nhop_recorder.start()\n")
        os.environ |= {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "HOPS_FOLDER": str(folder)}
        show("Upload of one image to the response", upload(folder))
    finally:
        shutil.rmtree(folder)
    return 0


def upload(folder: Path) -> list[Hop]:
    """Return the hops of a lone upload of a PNG file in a multipart form, by the try that has the fewest.

    A periodic job may run during a try.
    """
    import django

    django.setup()
    from digitsite.testing.site import Site, migrated_database

    site = Site(migrated_database(folder))
    try:
        site.start_redis()
        site.start_worker()
        site.start_web()
        with load.Connection(f"http://127.0.0.1:{site.port}") as connection:
            files = request_bodies.canvases(WARM_UP_REQUESTS + TRIES)
            for file in files[:WARM_UP_REQUESTS]:
                post(connection, file)
            return min((hops_of_upload(folder, connection, file) for file in files[WARM_UP_REQUESTS:]), key=len)
    finally:
        site.stop()


def hops_of_upload(folder: Path, connection: load.Connection, file: bytes) -> list[Hop]:
    """Return the hops of one upload after a pause."""
    time.sleep(0.3)
    start = time.monotonic()
    post(connection, file)
    return hops_between(folder, start, time.monotonic())


def post(connection: load.Connection, file: bytes) -> None:
    """Post a file.

    Raises:
        RuntimeError: The response is not a prediction.
    """
    status, _ = connection.request("POST", "/api/v1/submissions", request_bodies.form([file]), request_bodies.FORM)
    if status != 201:
        raise RuntimeError(f"The site answered {status} instead of 201.")


def hops_between(folder: Path, start: float, end: float) -> list[Hop]:
    """Return the hops of all processes in this period, each once, in order, with the shapes that were passed."""
    records = [json.loads(line) for path in folder.glob("*.jsonl") for line in path.read_text().splitlines()]
    hops: dict[tuple[str, str, str], Hop] = {}
    for record in sorted(records, key=lambda record: record["time"]):
        if start <= record["time"] <= end:
            hop = hops.setdefault((record["source"], record["target"], record["function"]), record)
            hop["shapes"] = sorted({*hop["shapes"], *record["shapes"]})
    return list(hops.values())


def show(title: str, hops: Sequence[Hop]) -> None:
    """Print the hops as a Markdown table, and their counts."""
    print(f"\n{title}\n\n| hop | from | to |\n| --- | --- | --- |")
    for number, hop in enumerate(hops, 1):
        print(f"| {number} | `{hop['source']}` | `{hop['target']}.{hop['function']}` |")
    modules = {module for hop in hops for module in (hop["source"], hop["target"])}
    callers: dict[tuple[str, int], set[str]] = {}
    for hop in hops:
        callers.setdefault((hop["target"], hop["process"]), set()).add(hop["source"])
    twice = sorted({target for (target, _), sources in callers.items() if len(sources) > 1})
    inner = [hop for hop in hops if hop["target"].startswith("recognizer.")]
    shapes = sorted({shape.rpartition(".")[2] for hop in inner for shape in hop["shapes"]} - NOT_SHAPES)
    print(
        f"\n{len(hops)} hops, {len(modules)} modules; {len(twice)} modules entered from two others: {', '.join(twice)}"
    )
    print(f"{len(shapes)} shapes: {', '.join(shapes)}")


if __name__ == "__main__":
    sys.exit(main())

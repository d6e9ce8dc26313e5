"""Count the hops of a request: `python -m bench.hops`, and with `--training` those of a label to the promoted model.

A hop is a call from one module of the project into another, in the processes of a real site. These are none: calls of
recognizer.services.lib, of the models, of the caller's rights and of the file storage, calls by a framework, the web
server or middleware, calls between the modules of ml, properties and what they call. A decorator is one hop; the
function that it decorates counts as called by its caller. An inherited method belongs to the module of the object's
class. Several calls of one function by one module count once. A shape is a class of `recognizer` whose instances are
passed between its modules.
"""

import argparse
import hashlib
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

from .support import load, request_bodies

ROOT = Path(__file__).resolve().parent.parent
WARM_UP_REQUESTS, TRIES = 20, 5
# Labels that make a training due.
LABELS = 150
TRAINING = "recognizer.services.training"
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
    """Print the hops of one upload, or of one training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--training", action="store_true", help="follow a label instead; takes some minutes")
    is_training = parser.parse_args(arguments).training
    folder = Path(tempfile.mkdtemp(prefix="hops-"))
    try:
        (folder / "sitecustomize.py").write_text("from bench.support import hop_recorder\nhop_recorder.start()\n")
        os.environ |= {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "HOPS_FOLDER": str(folder)}
        if is_training:
            show("Label of a reviewer to the promoted model", training(folder))
        else:
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


def training(folder: Path) -> list[Hop]:
    """Return the hops from the label that makes a training due to the promotion of its model.

    In the worker of periodic jobs only the calls for trainings count.

    Raises:
        RuntimeError: The label was refused, or the model was not promoted.
    """
    import django

    django.setup()
    from digitsite.testing.site import Site, migrated_database, wait_until
    from recognizer.models import TrainingRun
    from recognizer.models.choices import ACTIVE_RUN_STATES

    site = Site(migrated_database(folder), RETRAIN_AFTER_LABELS=str(LABELS), RECOVERY_INTERVAL_SECONDS="1")
    try:
        site.start_redis()
        site.start_web()
        site.start_default_worker()
        trainer = site.start("train", [sys.executable, "-m", "digitsite.worker", "train"])
        trainer.wait_for_words(" ready")
        with site.entered(), site.client() as client:
            submission, headers = labelled_drawings()
            start = time.monotonic()
            body = {"submission": submission.public_id, "value": submission.truth}
            response = client.post("/api/v1/review/decisions", json=body, headers=headers)
            answered = time.monotonic()
            if response.status_code != 201:
                raise RuntimeError(f"The label was refused: {response.text}")
            ended = TrainingRun.objects.exclude(state__in=list(ACTIVE_RUN_STATES))
            wait_until(ended.exists, seconds=1800, event="the end of the training run")
            run = ended.get()
            if run.state != "promoted":
                raise RuntimeError(f"The training ended in the state {run.state}: {run.reasons}")
        label, later = hops_between(folder, start, answered), hops_between(folder, answered, time.monotonic())
        trains = {hop["process"] for hop in later if hop["target"] == "recognizer.services.training.pipeline"}
        web = {hop["process"] for hop in label if hop["source"].startswith("recognizer.api")}
        return [hop for hop in label if hop["process"] in web] + [
            hop
            for hop in later
            if hop["process"] in trains or hop["source"].startswith(TRAINING) or hop["target"].startswith(TRAINING)
        ]
    finally:
        site.stop()


def labelled_drawings() -> tuple[Any, dict[str, str]]:
    """Store drawings with settled labels, and one without, which makes a training due with the label in its `truth`.

    Returns:
        That submission, and the headers of a reviewer.
    """
    from django.contrib.auth.models import User

    from digitsite.testing.writers import drawings, leaning_hands
    from recognizer.models import Fold, Source, Submission, SubmissionState, TruthState
    from recognizer.services.identity import tokens
    from recognizer.services.identity.actors import Actor
    from recognizer.services.submissions import service

    for hand, digit, strokes in drawings(leaning_hands(4, 2), LABELS, 1):
        actor = Actor(visitor=hashlib.sha256(repr(hand).encode()).hexdigest()[:32])
        row = service.create_from_strokes(actor=actor, strokes=strokes, source=Source.CANVAS)
        Submission.objects.filter(pk=row.pk).update(
            truth=str(digit), truth_state=TruthState.SETTLED, state=SubmissionState.PREDICTED, fold=Fold.TRAIN
        )
    submission = Submission.objects.latest("pk")
    Submission.objects.filter(pk=submission.pk).update(truth="", truth_state=TruthState.NONE)
    reviewer = Actor(user=User.objects.create_superuser("reviewer"))
    _, key = tokens.create(actor=reviewer, name="hops", scopes=["review"])
    return submission, {"Authorization": f"Bearer {key}"}


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
    pairs = {(hop["source"], hop["target"]) for hop in hops}
    modules = {module for pair in pairs for module in pair}
    callers: dict[tuple[str, int], set[str]] = {}
    for hop in hops:
        callers.setdefault((hop["target"], hop["process"]), set()).add(hop["source"])
    twice = sorted({target for (target, _), sources in callers.items() if len(sources) > 1})
    inner = [hop for hop in hops if hop["target"].startswith("recognizer.")]
    shapes = sorted({shape.rpartition(".")[2] for hop in inner for shape in hop["shapes"]} - NOT_SHAPES)
    print(f"\n{len(hops)} hops between {len(pairs)} pairs of {len(modules)} modules")
    print(f"{len(twice)} modules entered from two others: {', '.join(twice)}")
    print(f"{len(shapes)} shapes: {', '.join(shapes)}")


if __name__ == "__main__":
    sys.exit(main())

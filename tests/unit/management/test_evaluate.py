"""`manage.py evaluate`: labelled folders and MNIST, as a user runs it."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from digitsite.testing.drawings import FIVE, SEVEN, drawing

KEYS = {
    "n", "correct", "accuracy", "mean_over_sources", "by_size", "by_source", "verdicts", "sure_accuracy", "sure_share",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "digits"
    for name, strokes in (("ann/7/x.png", SEVEN), ("ann/5/x.png", FIVE), ("bob/1_7.png", SEVEN), ("bob/2_3.png", FIVE)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(255 - drawing(strokes)).save(folder / name)
    Image.new("L", (28, 28)).save(folder / "bob" / "3_nothing.png")
    return folder


def run(*arguments: object) -> str:
    out = StringIO()
    call_command("evaluate", *map(str, arguments), stdout=out)
    return out.getvalue()


def test_the_metrics_of_a_folder_are_printed(folder):
    out = run("--images", folder)
    assert "80.00%  (4 of 5" in out
    assert "mean over sources   83.33%" in out
    assert "truth \\ guess" in out


def test_metrics_are_written_as_json_and_errors_to_a_page(folder, tmp_path):
    run("--images", folder, "--json", tmp_path / "out" / "metrics.json", "--report", tmp_path / "report")
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics.keys() >= KEYS
    assert (metrics["n"], metrics["correct"]) == (5, 4)
    html = (tmp_path / "report" / "index.html").read_text()
    assert "<h2>1 miss</h2>" in html
    assert "bob/2_3.png" in html
    assert "bob/1_7.png" not in html


def test_an_unreadable_image_counts_as_wrong_and_is_named(folder):
    (folder / "bob" / "4_4.png").write_text("not an image")
    out = run("--images", folder)
    assert "(4 of 6" in out
    assert "unreadable: bob/4_4.png" in out


def test_a_missing_folder_and_one_without_images_are_clear_errors(tmp_path):
    with pytest.raises(CommandError, match="no folder"):
        run("--images", tmp_path / "nowhere")
    with pytest.raises(CommandError, match="no images"):
        run("--images", tmp_path)
    with pytest.raises(CommandError):
        run()


@pytest.mark.acceptance
def test_the_accuracy_on_mnist_is_that_of_the_base_metrics(tmp_path):
    from ml.serving.bundle import BASE_FOLDER

    run("--mnist", "--json", tmp_path / "mnist.json")
    metrics = json.loads((tmp_path / "mnist.json").read_text())
    stated = json.loads((BASE_FOLDER / "metrics.json").read_text())["test_accuracy"]
    assert metrics["n"] == 10_000
    assert np.isclose(metrics["accuracy"], stated, atol=0.003)

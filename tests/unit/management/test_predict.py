"""`manage.py predict`: images from files, as a user runs it."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from digitsite.testing.drawings import FIVE, SEVEN, drawing
from ml.serving.bundle import BASE_FOLDER, BUNDLE_FILE
from recognizer.management.commands.predict import _percent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    Image.fromarray(255 - drawing(SEVEN)).save(folder / "seven.png")
    Image.fromarray(drawing(FIVE)).convert("RGB").save(folder / "five.jpg")
    return folder


def run(*arguments: object) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command("predict", *map(str, arguments), stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_each_file_gets_a_line_with_digit_certainty_and_verdict(folder):
    out, _ = run(folder / "seven.png", folder / "five.jpg")
    seven, five = (line.split() for line in out.splitlines())
    assert (seven[0], seven[1]) == (str(folder / "seven.png"), "7")
    assert (five[0], five[1]) == (str(folder / "five.jpg"), "5")
    assert seven[2].endswith("%")
    assert seven[3] in ("sure", "unsure")


@pytest.mark.parametrize(
    ("certainty", "words"), [(0.99403, "99.40%"), (0.99994, "99.99%"), (0.99996, ">99.99%"), (1.0, ">99.99%")]
)
def test_no_prediction_is_shown_as_100_percent(certainty, words):
    assert _percent(certainty) == words


def test_a_folder_stands_for_its_images_and_json_contains_all_fields(folder):
    rows = json.loads(run(folder, "--json")[0])
    assert [(Path(row["file"]).name, row["digit"]) for row in rows] == [("five.jpg", 5), ("seven.png", 7)]
    assert all(sum(row["probabilities"]) == pytest.approx(1) for row in rows)
    assert rows[0]["certainty"] == max(rows[0]["probabilities"])
    assert [row["reading"] for row in rows] == ["plain", "plain"]


def test_an_unreadable_file_is_reported_and_the_others_are_processed(folder):
    (folder / "broken.png").write_text("not an image")
    out, err = StringIO(), StringIO()
    with pytest.raises(CommandError, match="1 of 3 files") as caught:
        call_command("predict", str(folder), stdout=out, stderr=err)
    assert caught.value.returncode == 1
    assert len(out.getvalue().splitlines()) == 2
    assert "broken.png" in err.getvalue()
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("predict", str(folder), "--json", stdout=out)
    assert [("error" in row) for row in json.loads(out.getvalue())] == [True, False, False]


def test_a_blank_image_has_a_verdict_and_no_digit(tmp_path):
    Image.new("L", (100, 100), 255).save(tmp_path / "blank.png")
    assert run(tmp_path / "blank.png")[0].split()[1:] == ["-", "blank"]
    row = json.loads(run(tmp_path / "blank.png", "--json")[0])[0]
    assert (row["digit"], row["verdict"]) == (None, "blank")


def test_show_saves_the_inputs_of_the_model(folder, tmp_path):
    run(folder, "--show", tmp_path / "seen")
    saved = sorted((tmp_path / "seen").iterdir())
    assert [path.name for path in saved] == ["1_five.png", "2_seven.png"]
    pixels = np.asarray(Image.open(saved[1]))
    assert (pixels.shape, pixels.max()) == ((28, 28), 255)


def test_a_missing_file_and_an_empty_folder_are_clear_errors(tmp_path):
    with pytest.raises(CommandError, match="no file or folder"):
        run(tmp_path / "nowhere.png")
    with pytest.raises(CommandError, match="no images"):
        run(tmp_path)


def test_a_bundle_can_be_selected_and_a_damaged_one_is_an_error(folder, tmp_path):
    bundle = (BASE_FOLDER / BUNDLE_FILE).read_bytes()
    (tmp_path / "copy.bundle").write_bytes(bundle)
    assert run(folder, "--bundle", tmp_path / "copy.bundle") == run(folder)
    (tmp_path / "half.bundle").write_bytes(bundle[: len(bundle) // 2])
    with pytest.raises(CommandError):
        run(folder, "--bundle", tmp_path / "half.bundle")


@pytest.mark.django_db
def test_live_uses_the_version_that_the_site_serves(folder):
    assert run(folder, "--live") == run(folder)

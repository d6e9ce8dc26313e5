"""Reading labelled folders, and metrics over them."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from digitsite.testing.drawings import FIVE, SEVEN, drawing
from ml.evaluation import folder_evaluation
from ml.evaluation.folder_evaluation import (
    ImageResult,
    LabelledImage,
    ResultSummary,
    evaluate_images,
    find_images,
    label_from_path,
)
from ml.evaluation.html_report import describe, render_card, render_page
from ml.preprocessing import Prepared, prepare_image
from ml.readings import Reading, ReadingKind
from ml.serving.bundle import BASE_FOLDER, BUNDLE_FILE
from ml.serving.classifier import load_classifier
from ml.serving.verdicts import Answer, Verdict

IMAGE = Image.fromarray(255 - drawing())
PREPARED = prepare_image(IMAGE)


def make_result(
    label: str, digit: int, verdict: Verdict = Verdict.SURE, *, source: str = "", side: int = 280
) -> ImageResult:
    probabilities = tuple(0.91 if i == digit else 0.01 for i in range(10))
    answer = Answer(probabilities, digit, 0.91, (digit + 1) % 10, -8.0, 0.1, verdict)
    return ImageResult(
        LabelledImage("some.png", label=label, source=source), Image.new("L", (side, side)), PREPARED, answer
    )


def summarize(*results: ImageResult) -> dict:
    summary = ResultSummary()
    for result in results:
        summary.add(result)
    return summary.summary()


def test_the_label_is_the_folder_name_or_follows_the_last_underscore(tmp_path):
    for name in ("3/a.png", "ann/7/scan_4.png", "ann/scan_01_5.JPG", "bob/x_42.png", "bob/cat.png", "8/9_1.webp"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "README.md").touch()
    (tmp_path / "ann" / ".hidden_3.png").touch()
    samples = {sample.name: (sample.label, sample.digit, sample.source) for sample in label_from_path(tmp_path)}
    assert samples == {
        "3/a.png": ("3", 3, ""),
        "ann/7/scan_4.png": ("7", 7, "ann"),
        "ann/scan_01_5.JPG": ("5", 5, "ann"),
        "bob/x_42.png": ("42", None, "bob"),
        "bob/cat.png": ("cat", None, "bob"),
        "8/9_1.webp": ("8", 8, ""),
    }


def test_a_file_is_accepted_with_any_suffix_and_a_missing_one_is_named(tmp_path):
    (tmp_path / "scan").touch()
    assert find_images([tmp_path / "scan"]) == [tmp_path / "scan"]
    with pytest.raises(FileNotFoundError, match="nowhere"):
        find_images([tmp_path / "nowhere"])


def test_a_digit_is_correct_with_any_verdict_if_the_predicted_digit_is_the_label():
    assert make_result("7", 7, Verdict.NOT_A_DIGIT).is_correct
    assert not make_result("7", 1, Verdict.UNSURE).is_correct
    assert not make_result("0", 0, Verdict.BLANK).is_correct


@pytest.mark.parametrize("verdict", Verdict)
@pytest.mark.parametrize("label", ["cat", "42", ""])
def test_a_non_digit_is_correct_if_the_verdict_is_not_sure(label, verdict):
    assert make_result(label, 7, verdict).is_correct == (verdict is not Verdict.SURE)


def test_metrics_are_computed_over_all_results():
    summary = summarize(
        make_result("7", 7, source="ann"),
        make_result("7", 7, Verdict.UNSURE, source="ann", side=28),
        make_result("7", 1, source="ann", side=32),
        make_result("cat", 1, Verdict.NOT_A_DIGIT, source="bob"),
        ImageResult(LabelledImage("broken.png", label="3", source="bob"), error="It is damaged."),
    )
    assert (summary["n"], summary["correct"], summary["accuracy"]) == (5, 3, 0.6)
    assert summary["mean_over_sources"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert (summary["by_size"]["small"]["n"], summary["by_size"]["small"]["correct"]) == (2, 1)
    assert (summary["by_size"]["larger"]["n"], summary["by_size"]["larger"]["correct"]) == (2, 2)
    assert summary["by_source"]["bob"]["accuracy"] == 0.5
    assert {name: row["n"] for name, row in summary["verdicts"].items()} == {
        "sure": 2, "unsure": 1, "not_a_digit": 1, "several": 0, "blank": 0,
    }  # fmt: skip
    assert (summary["sure_accuracy"], summary["sure_share"]) == (0.5, 0.4)
    assert summary["confusion"]["counts"][7][7] == 2
    assert summary["confusion"]["counts"][10][1] == 1
    assert summary["unreadable"] == [{"file": "broken.png", "error": "It is damaged."}]
    low, high = summary["interval"]
    assert 0 < low < 0.6 < high < 1
    assert json.loads(json.dumps(summary)) == summary


def test_metrics_of_an_empty_set_are_none():
    summary = summarize()
    assert summary["n"] == 0
    assert summary["accuracy"] is None
    assert "–" in describe(summary)


def test_images_are_preprocessed_like_uploads_and_unreadable_ones_are_reported(tmp_path):
    Image.fromarray(255 - drawing(FIVE)).save(tmp_path / "a_5.png")
    (tmp_path / "b_7.png").write_bytes(b"not an image")
    Image.fromarray(255 - drawing(SEVEN)).save(tmp_path / "c_7.png")
    classifier = load_classifier((BASE_FOLDER / BUNDLE_FILE).read_bytes())
    results = list(evaluate_images(label_from_path(tmp_path), classifier))
    assert [result.is_correct for result in results] == [True, False, True]
    assert np.array_equal(results[2].prepared.pixels, PREPARED.pixels)
    assert results[1].answer is None
    assert results[1].error


def test_page_shows_all_readings_of_an_error_and_which_one_was_chosen():
    further = Reading(ReadingKind.UNMARKED, 255 - PREPARED.pixels)
    miss = make_result("7", 1)
    miss = replace(miss, prepared=replace(PREPARED, alternatives=(further,)), answer=replace(miss.answer, reading=1))
    html = render_card(miss)
    assert html.count("data:image/png;base64,") == 3
    assert re.findall("<figcaption>(.*?)</figcaption>", html) == ["plain", "unmarked (chosen)"]
    html = render_card(replace(miss, answer=replace(miss.answer, reading=0)))
    assert re.findall("<figcaption>(.*?)</figcaption>", html) == ["plain (chosen)", "unmarked"]


def test_images_are_predicted_by_the_reading_that_the_model_chooses(monkeypatch):
    scribble = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    prepared = Prepared(scribble, {"several": True}, alternatives=(Reading(ReadingKind.SHEET, PREPARED.pixels),))
    monkeypatch.setattr(folder_evaluation, "prepare_image", lambda image: prepared)
    classifier = load_classifier((BASE_FOLDER / BUNDLE_FILE).read_bytes())
    [result] = evaluate_images([LabelledImage("sheet", image=IMAGE, label="7")], classifier)
    assert (result.answer.digit, result.answer.verdict) == (7, Verdict.SURE)
    assert result.reading.kind is ReadingKind.SHEET


def test_the_page_shows_every_error_and_escapes_its_input():
    miss = make_result("<b>7", 1, source="ann")
    broken = ImageResult(LabelledImage("<script>", label="3"), error="It is damaged.")
    html = render_page("A & B", summarize(miss, broken), [render_card(miss), render_card(broken)])
    assert "2 misses" in html
    assert html.count("data:image/png;base64,") == 2
    assert "<script>" not in html
    assert "truth: &lt;b&gt;7, answer: 1 (91.0%, sure), then 2" in html

"""Charts as SVG: valid markup, an accessible title, and every value as text."""

import json
from xml.etree import ElementTree as ET

import pytest

from ml.evaluation import charts
from ml.serving.bundle import BASE_FOLDER

SVG = "{http://www.w3.org/2000/svg}"
HISTORY = {"loss": [0.5, 0.4], "accuracy": [0.9, 0.95], "val_loss": [0.3, 0.2], "val_accuracy": [0.97, 0.98]}


def texts(svg: str, tag: str = "text") -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(SVG + tag)]


def title(svg: str) -> str:
    root = ET.fromstring(svg)
    assert root.get("role") == "img"
    return root.attrib["aria-label"]


def points(svg: str, css: str) -> list[tuple[float, float]]:
    (line,) = (group[0] for group in ET.fromstring(svg).iter(SVG + "g") if group.get("class") == css)
    return [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]


def test_learning_curves_state_the_last_values_and_rise_with_accuracy():
    curves = charts.learning_curves(HISTORY)
    assert list(curves) == ["accuracy", "loss"]
    assert title(curves["accuracy"]) == "Accuracy after 2 epochs: training 0.9500, validation 0.9800"
    (x1, y1), (x2, y2) = points(curves["accuracy"], "chart-second")
    assert x1 < x2
    assert y1 > y2  # upwards in an SVG
    assert {"Loss: ● training, ■ validation", "epoch 1", "2"} <= set(texts(curves["loss"]))


@pytest.mark.parametrize("history", [{}, {"loss": []}])
def test_a_training_without_an_epoch_has_no_curves(history):
    assert charts.learning_curves(history) == {}


def test_a_shorter_series_ends_before_the_last_epoch():
    svg = charts.learning_curves(HISTORY | {"loss": [0.5, 0.4, 0.35]})["loss"]
    assert [len(points(svg, css)) for css in charts.SERIES_CLASSES] == [3, 2]


def test_a_single_epoch_is_drawn_in_the_middle():
    svg = charts.learning_curves({name: row[:1] for name, row in HISTORY.items()})["loss"]
    assert len(points(svg, "chart-first")) == 1


def test_charts_of_the_shipped_model_equal_its_files():
    metrics = json.loads((BASE_FOLDER / "metrics.json").read_text())
    history = json.loads((BASE_FOLDER / "history.json").read_text())
    drawn = charts.training_charts(history, metrics["sets"])
    assert list(drawn) == ["accuracy", "loss", "confusion_matrix", "reliability"]
    for name, svg in drawn.items():
        assert (BASE_FOLDER / f"{name}.svg").read_text() == charts.to_file(svg)
    assert title(drawn["confusion_matrix"]) == "Confusion matrix of the MNIST test set: 9959 of 10000 right"
    assert str(metrics["sets"]["test"]["confusion"][3][3]) in texts(drawn["confusion_matrix"])
    assert any(text.startswith("distorted validation: ") for text in texts(drawn["reliability"], "title"))


def test_only_charts_with_data_are_drawn():
    assert charts.training_charts({}, {}) == {}
    assert list(charts.training_charts(HISTORY, {"test": {"accuracy": 0.9}})) == ["accuracy", "loss"]


def test_a_share_is_drawn_inside_its_interval():
    svg = charts.share_chart("Accuracy", [charts.Share("1 Dec", 0.9, (0.8, 0.95), "1 Dec: 90 %, 9 of 10")])
    root = ET.fromstring(svg)
    (dot,), (whisker,) = (
        [element for element in root.iter() if element.get("class") == css] for css in ("chart-dot", "chart-whisker")
    )
    assert float(whisker.attrib["y1"]) < float(dot.attrib["cy"]) < float(whisker.attrib["y2"])
    assert texts(svg, "title") == ["1 Dec: 90 %, 9 of 10"]
    assert {"80%", "90%", "100%", "1 Dec"} == set(texts(svg))


def test_bars_are_as_high_as_their_counts_and_labels_do_not_overlap():
    svg = charts.count_chart("Decisions by day", [(f"day {day}", day) for day in range(31)])
    heights = [float(bar.attrib["height"]) for bar in ET.fromstring(svg).iter(SVG + "rect")]
    assert heights[0] == 0
    assert heights[30] == pytest.approx(2 * heights[15], abs=0.2)
    assert len([text for text in texts(svg) if text.startswith("day")]) <= charts.MAX_AXIS_LABELS
    assert charts.count_chart("Nothing", [])


def test_labels_are_escaped():
    svg = charts.count_chart('<script>"', [("<b>", 1)])
    assert title(svg) == '<script>"'
    assert "<b>" in texts(svg)


def test_a_file_carries_its_style():
    drawn = charts.to_file(charts.learning_curves(HISTORY)["loss"])
    assert "polyline{fill:none" in texts(drawn, "style")[0]

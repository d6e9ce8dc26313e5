"""Submissions and previews on a running site with web server, Valkey and worker."""

import base64
import time

import pytest
from PIL import Image

from digitsite.testing.site import Site, wait_until
from recognizer.models import Submission
from tests.image_samples import SEVEN, digit, encoded, photo, png

ADDRESS = "/api/v1/submissions"


@pytest.fixture
def running(site: Site) -> Site:
    site.start_redis()
    site.start_web()
    site.start_worker()
    return site


def test_submission_returns_a_prediction_that_can_be_read_again(running):
    with running.client() as program:
        response = program.post(ADDRESS, json={"strokes": SEVEN})
        assert response.status_code == 201, response.text
        body = response.json()
        assert body["state"] == "predicted"
        assert body["prediction"]["digit"] == 7
        assert body["prediction"]["version"] == 1
        read = program.get(response.headers["Location"]).json()
        assert read["prediction"] == body["prediction"]

        # The same image in other kinds of body.
        picture = png(digit(280))
        url = "data:image/png;base64," + base64.b64encode(picture).decode()
        answers = [
            program.post(ADDRESS, files={"image": picture}),
            program.post(ADDRESS, json={"image": url}),
        ]
        assert [item.status_code for item in answers] == [201, 201]
        assert len({item.json()["prediction"]["certainty"] for item in answers}) == 1
        assert program.post(ADDRESS, files={"image": encoded(photo(), "JPEG")}).status_code == 201

        # With respond-async the response is 202, and the prediction follows later.
        response = program.post(ADDRESS, json={"strokes": SEVEN}, headers={"Prefer": "respond-async"})
        assert (response.status_code, response.json()["state"]) == (202, "pending")
        wait_until(lambda: program.get(response.headers["Location"]).json()["state"] == "predicted")


def test_preview_returns_a_prediction_without_storing(running):
    with running.client() as program:
        body = program.post("/api/v1/preview", json={"strokes": SEVEN}).json()
        assert (body["digit"], body["verdict"] != "blank") == (7, True)
        assert [len(row) for row in body["pixels"]] == [28] * 28
        by_picture = program.post("/api/v1/preview", files={"image": png(digit())}).json()
        assert len(by_picture["probabilities"]) == 10
        blank = program.post("/api/v1/preview", files={"image": png(Image.new("L", (50, 50), 255))}).json()
        assert (blank["verdict"], blank["digit"], blank["probabilities"]) == ("blank", None, None)
    with running.entered():
        assert not Submission.objects.exists()
    assert not (running.folder / "media").exists()


def test_submissions_are_stored_and_previews_are_503_without_a_worker(site):
    site.start_redis()
    site.start_web()
    with site.client() as program:
        rejected = program.post(ADDRESS, files={"image": bytes(11 * 1024 * 1024)})
        assert (rejected.status_code, rejected.json()["code"]) == (413, "too_many_bytes")
        rejected = program.post(ADDRESS, content=b"x" * 40_000_000, headers={"Content-Type": "application/json"})
        assert (rejected.status_code, rejected.headers["Content-Type"]) == (413, "application/problem+json")
        started = time.monotonic()
        response = program.post(ADDRESS, json={"strokes": SEVEN})
        assert time.monotonic() - started < 1.5
        assert (response.status_code, response.headers["Retry-After"]) == (202, "1")
        unanswered = program.post("/api/v1/preview", json={"strokes": SEVEN})
        assert (unanswered.status_code, unanswered.headers["Retry-After"]) == (503, "1")
        assert unanswered.json()["code"] == "unavailable"
        site.start_worker()
        wait_until(lambda: program.get(response.headers["Location"]).json()["state"] == "predicted")


@pytest.mark.acceptance
def test_frozen_redis_delays_a_submission_by_less_than_four_seconds(running):
    running.parts[0].freeze()
    with running.client() as program:
        started = time.monotonic()
        response = program.post(ADDRESS, json={"strokes": SEVEN})
        assert time.monotonic() - started < 4
        assert response.status_code == 202
        started = time.monotonic()
        assert program.get(ADDRESS).status_code == 200
        assert program.get(response.headers["Location"]).json()["state"] == "pending"
        assert time.monotonic() - started < 1
        running.parts[0].thaw()
        running.start_default_worker()
        wait_until(
            lambda: program.get(response.headers["Location"]).json()["state"] == "predicted",
            seconds=30,
            event="the prediction after the thaw",
        )

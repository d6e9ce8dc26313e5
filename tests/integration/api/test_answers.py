"""The whole path through the running site: web server, Valkey and worker are processes of their own."""

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


def test_an_answer_comes_with_the_submission_and_can_be_read_again(running):
    with running.client() as program:
        response = program.post(ADDRESS, json={"strokes": SEVEN})
        assert response.status_code == 201, response.text
        body = response.json()
        assert body["state"] == "predicted"
        assert body["prediction"]["digit"] == 7
        assert body["prediction"]["version"] == 1
        read = program.get(response.headers["Location"]).json()
        assert read["prediction"] == body["prediction"]

        # The same picture in other forms of request.
        picture = png(digit(280))
        url = "data:image/png;base64," + base64.b64encode(picture).decode()
        answers = [
            program.post(ADDRESS, files={"image": picture}),
            program.post(ADDRESS, json={"image": url}),
        ]
        assert [one.status_code for one in answers] == [201, 201]
        assert len({one.json()["prediction"]["certainty"] for one in answers}) == 1
        assert program.post(ADDRESS, files={"image": encoded(photo(), "JPEG")}).status_code == 201

        # Whoever does not want to wait gets 202 at once, and the answer later.
        response = program.post(ADDRESS, json={"strokes": SEVEN}, headers={"Prefer": "respond-async"})
        assert (response.status_code, response.json()["state"]) == (202, "pending")
        wait_until(lambda: program.get(response.headers["Location"]).json()["state"] == "predicted")


def test_a_preview_answers_and_stores_nothing(running):
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


def test_without_a_worker_submissions_are_kept_previews_are_honest_and_too_much_is_refused(site):
    site.start_redis()
    site.start_web()
    with site.client() as program:
        refused = program.post(ADDRESS, files={"image": bytes(11 * 1024 * 1024)})
        assert (refused.status_code, refused.json()["code"]) == (413, "too_many_bytes")
        refused = program.post(ADDRESS, content=b"x" * 40_000_000, headers={"Content-Type": "application/json"})
        assert (refused.status_code, refused.headers["Content-Type"]) == (413, "application/problem+json")
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
def test_a_frozen_redis_costs_a_sender_less_than_four_seconds_and_no_answer(running):
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
            event="the answer after the thaw",
        )

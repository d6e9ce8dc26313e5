"""Access to submissions for owners, reviewers, operators, strangers and holders of a key."""

import io

import numpy as np
import pytest
from PIL import Image

from recognizer.models import Source, Submission
from recognizer.services.identity import permissions
from recognizer.services.submissions import service
from tests.factories import make_boxed_submission, make_prediction
from tests.image_samples import SEVEN, seven_pixels

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]


@pytest.fixture
def submission(visitor) -> Submission:
    submission = service.create_from_strokes(actor=visitor, strokes=SEVEN, source=Source.CANVAS)
    make_prediction(submission)
    return submission


def address(submission: Submission, part: str = "", key: str = "") -> str:
    return f"/api/v1/submissions/{submission.public_id}{part}" + (f"?key={key}" if key else "")


@pytest.mark.parametrize("part", ["", "/image", "/pixels.png", "/explanation", "/explanation.png", "/labels"])
def test_submission_is_visible_to_owner_reviewer_and_operator_only(
    part, submission, owner_client, reviewer_client, operator_client, other_client, anonymous_client
):
    for client in (owner_client, reviewer_client, operator_client):
        assert client.get(address(submission, part)).status_code == 200
    for client in (other_client, anonymous_client):
        response = client.get(address(submission, part))
        assert response.status_code == 404
        assert response.json()["code"] == "not_found"


@pytest.mark.parametrize("part", ["", "/image", "/pixels.png", "/explanation", "/explanation.png", "/labels"])
def test_key_gives_read_access_to_one_submission(part, submission, anonymous_client, visitor):
    another = service.create_from_strokes(actor=visitor, strokes=SEVEN, source=Source.CANVAS)
    share_key = service.share(actor=visitor, submission=submission)
    for key in (permissions.read_key(submission), share_key):
        assert anonymous_client.get(address(submission, part, key)).status_code == 200
        assert anonymous_client.get(address(another, part, key)).status_code == 404
    service.unshare(actor=visitor, submission=submission)
    assert anonymous_client.get(address(submission, part, share_key)).status_code == 404
    assert anonymous_client.get(address(submission, part, "nonsense\u20ac")).status_code == 404


def test_submission_includes_prediction_and_model_version(submission, owner_client):
    body = owner_client.get(address(submission)).json()
    assert body["prediction"]["digit"] == 7
    assert body["prediction"]["version"] == 1
    assert len(body["prediction"]["probabilities"]) == 10
    assert (body["truth"], body["truth_state"], body["mine"]) == (None, "none", True)
    assert body["strokes"] == [[[60.0, 200.0, 120.0], [60.0, 60.0, 230.0]]]
    assert body["page"].endswith(f"/s/{submission.public_id}/")


def test_pixels_are_the_reading_that_the_latest_prediction_chose(visitor, owner_client, django_assert_num_queries):
    boxed = make_boxed_submission(visitor)
    before = owner_client.get(address(boxed, "/pixels.png"))
    prediction = make_prediction(boxed, reading=1)
    after = owner_client.get(address(boxed, "/pixels.png"))
    assert np.asarray(Image.open(io.BytesIO(after.content))).tolist() == seven_pixels().tolist()
    assert before.headers["ETag"] != after.headers["ETag"]
    with django_assert_num_queries(2):  # the ids of the page, and its rows
        [listed] = owner_client.get("/api/v1/submissions").json()["results"]
    assert listed["prediction"]["reading"] == "unmarked"
    assert owner_client.get(f"/api/v1/predictions/{prediction.pk}").json()["reading"] == "unmarked"


def test_reading_a_submission_takes_one_query(submission, anonymous_client, django_assert_num_queries):
    with django_assert_num_queries(1):
        anonymous_client.get(address(submission, key=permissions.read_key(submission)))


def test_image_response_has_security_headers(submission, owner_client):
    for part in ("/image", "/pixels.png"):
        response = owner_client.get(address(submission, part))
        assert response.headers["Content-Type"] == "image/png"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert "private" in response.headers["Cache-Control"]


def test_unchanged_image_is_304(submission, owner_client):
    for part in ("/image", "/pixels.png"):
        etag = owner_client.get(address(submission, part)).headers["ETag"]
        repeated = owner_client.get(address(submission, part), headers={"If-None-Match": etag})
        assert (repeated.status_code, repeated.content) == (304, b"")
        assert owner_client.get(address(submission, part), headers={"If-None-Match": '"x"'}).status_code == 200


def test_accept_header_is_ignored(submission, owner_client):
    assert owner_client.get(address(submission, "/image"), headers={"Accept": "image/png"}).status_code == 200
    assert (
        owner_client.get(address(submission), headers={"Accept": "text/html"}).headers["Content-Type"]
        == "application/json"
    )


def test_pixels_are_the_model_input(submission, owner_client, tmp_path):
    (tmp_path / "pixels.png").write_bytes(owner_client.get(address(submission, "/pixels.png")).content)
    with Image.open(tmp_path / "pixels.png") as image:
        assert image.tobytes() == bytes(submission.pixels)


def test_owner_can_delete_a_submission(submission, owner_client):
    assert owner_client.delete(address(submission)).status_code == 204
    assert not Submission.objects.exists()
    assert owner_client.get(address(submission)).status_code == 404


def test_operator_can_delete_a_submission_and_others_cannot(
    submission, other_client, reviewer_client, anonymous_client, operator_client
):
    assert other_client.delete(address(submission)).status_code == 404
    assert reviewer_client.delete(address(submission)).status_code == 403
    assert anonymous_client.delete(address(submission, key=permissions.read_key(submission))).status_code == 403
    assert Submission.objects.exists()
    assert operator_client.delete(address(submission)).status_code == 204


def test_share_link_works_until_revoked(submission, owner_client, other_client, reviewer_client, anonymous_client):
    share = address(submission, "/share")
    assert other_client.post(share).status_code == other_client.delete(share).status_code == 404
    assert reviewer_client.post(share).status_code == reviewer_client.delete(share).status_code == 403
    link = owner_client.post(share).json()
    assert owner_client.post(share).json() == link
    for url in (link["url"], link["page"]):
        assert link["key"] in url
        assert anonymous_client.get(url).status_code == 200
    assert owner_client.delete(share).status_code == 204
    assert anonymous_client.get(link["url"]).status_code == 404
    assert owner_client.post(share).json()["key"] != link["key"]


def test_prediction_is_visible_to_those_who_see_its_submission(
    submission, owner_client, reviewer_client, other_client, anonymous_client
):
    pk = submission.latest_prediction_id
    for client in (owner_client, reviewer_client):
        body = client.get(f"/api/v1/predictions/{pk}").json()
        assert body["submission"] == submission.public_id
        assert [item["id"] for item in client.get("/api/v1/predictions").json()["results"]] == [pk]
    for client in (other_client, anonymous_client):
        assert client.get(f"/api/v1/predictions/{pk}").status_code == 404
        assert client.get("/api/v1/predictions").json()["results"] == []


def test_model_versions_are_public_without_their_files(anonymous_client):
    (version,) = anonymous_client.get("/api/v1/models").json()["results"]
    assert (version["number"], version["live"], version["parent"]) == (1, True, None)
    body = anonymous_client.get("/api/v1/models/1").json()
    assert {"history", "gate", "manifest"} < set(body)
    assert not {"bundle", "keras_file"} & set(body)
    assert anonymous_client.get("/api/v1/models/2").status_code == 404
    assert anonymous_client.get("/api/v1/models/99999999999999999999").status_code == 404


def test_stats_count_visible_submissions(submission, owner_client, reviewer_client, anonymous_client):
    body = owner_client.get("/api/v1/stats").json()
    assert (body["submissions"], body["by_digit"]["7"], body["live_version"]) == (1, 1, 1)
    assert reviewer_client.get("/api/v1/stats").json()["submissions"] == 1
    assert anonymous_client.get("/api/v1/stats").json()["submissions"] == 0

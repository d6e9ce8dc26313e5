"""Tests of the upload form without scripts."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from PIL import Image

from digitsite.testing.site import Site
from recognizer.models import Submission
from recognizer.services.identity.actors import Actor
from recognizer.services.images import storage
from tests.image_samples import SVG, digit, png

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]

UPLOAD = "/upload/"


def file(name: str = "one.png", data: bytes | None = None) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, png(digit()) if data is None else data, "image/png")


def test_single_upload_redirects_to_its_page(owner_client: Client, visitor: Actor) -> None:
    response = owner_client.post(UPLOAD, {"images": [file()], "may_train": "on"})
    submission = Submission.objects.get()
    assert response.url == submission.get_absolute_url()
    assert (submission.visitor, submission.source, submission.may_train) == (visitor.visitor, "upload", True)


def test_the_checkbox_opts_out_of_training(owner_client: Client) -> None:
    owner_client.post(UPLOAD, {"images": [file()]})
    assert not Submission.objects.get().may_train


def test_new_visitor_finds_the_upload_in_history(client: Client) -> None:
    response = client.post(UPLOAD, {"images": [file()]}, follow=True)
    assert response.status_code == 200
    assert Submission.objects.get().public_id in client.get("/history/").content.decode()


@pytest.mark.sqlite_only
def test_busy_decoder_returns_503_with_retry_after(owner_client: Client, monkeypatch) -> None:
    """Regression test: commit 07961fc answered 422, as if the image were invalid."""
    monkeypatch.setattr(storage, "DECODE_WAIT_SECONDS", 0.05)
    with storage._decoding.slot("another caller", weight=storage._decoding.capacity):
        response = owner_client.post(UPLOAD, {"images": [file(data=png(Image.new("1", (3000, 3000))))]})
    assert (response.status_code, response["Retry-After"]) == (503, "2")
    assert storage.BUSY in response.content.decode()
    assert not Submission.objects.exists()


def test_bad_file_does_not_affect_other_files(owner_client: Client) -> None:
    files = [file("a.png"), file("notes.png", b"hello"), file("b.png", png(digit(seed=3))), file("empty.png", b"")]
    response = owner_client.post(UPLOAD, {"images": files}, follow=True)
    text = response.content.decode()
    first, second = Submission.objects.order_by("id")
    assert response.redirect_chain[0][0] == f"{reverse('upload-results')}?s={first.public_id}&s={second.public_id}"
    assert text.index(f"/s/{first.public_id}/") < text.index(f"/s/{second.public_id}/")
    assert "notes.png: " in text
    assert "empty.png: " in text


def test_stranger_cannot_see_the_results(owner_client: Client, other_client: Client) -> None:
    owner_client.post(UPLOAD, {"images": [file("a.png"), file("b.png")]})
    ids = [submission.public_id for submission in Submission.objects.all()]
    text = other_client.get(reverse("upload-results"), {"s": ids}).content.decode()
    assert "nothing to show" in text
    assert not any(public_id in text for public_id in ids)


@pytest.mark.parametrize(
    ("name", "data"),
    [("drawing.svg", SVG), ("text.png", b"not a picture"), ("blank.png", png(digit().point(lambda _: 0)))],
)
def test_unreadable_file_shows_an_error_and_stores_nothing(
    owner_client: Client, media: object, name: str, data: bytes
) -> None:
    response = owner_client.post(UPLOAD, {"images": [file(name, data)]})
    assert response.status_code == 422
    assert f"{name}: " in response.content.decode()
    assert not Submission.objects.exists()
    assert not media.exists()


def test_too_large_file_is_rejected(owner_client: Client, settings: object) -> None:
    settings.MAX_UPLOAD_BYTES = 2000
    response = owner_client.post(UPLOAD, {"images": [file("big.png", png(digit()) + bytes(5000))]})
    assert response.status_code == 422
    assert "big.png: " in response.content.decode()


def test_without_a_file_the_form_says_what_is_missing(owner_client: Client) -> None:
    response = owner_client.post(UPLOAD, {})
    assert response.status_code == 422
    assert "Choose at least one picture." in response.content.decode()


def test_a_site_for_accounts_only_asks_to_sign_in(
    owner_client: Client, reviewer_client: Client, settings: object
) -> None:
    settings.ANONYMOUS_SUBMISSIONS = False
    response = owner_client.post(UPLOAD, {"images": [file()]}, follow=True)
    assert response.redirect_chain[0][0] == reverse("login")
    assert "sign in" in response.content.decode()
    assert not Submission.objects.exists()
    assert reviewer_client.post(UPLOAD, {"images": [file()]}).status_code == 302
    assert Submission.objects.count() == 1


@pytest.mark.parametrize("address", ["/", UPLOAD])
def test_opening_the_page_sets_the_visitor_cookie(client: Client, settings: object, address: str) -> None:
    first = client.get(address).cookies[settings.VISITOR_COOKIE].value
    assert settings.VISITOR_COOKIE not in client.get(address).cookies
    assert client.cookies[settings.VISITOR_COOKIE].value == first


def test_too_many_images_are_throttled_with_retry_after(site: Site, settings: object) -> None:
    settings.SUBMISSIONS_PER_MINUTE = (2, 2, 2)
    site.start_redis()
    with site.entered():
        client = Client(REMOTE_ADDR="192.0.2.7")
        text = client.post(UPLOAD, {"images": [file(f"{n}.png") for n in range(3)]}, follow=True).content.decode()
        assert "2.png and what came after it were not taken" in text
        response = client.post(UPLOAD, {"images": [file()]})
        assert response.status_code == 429
        assert 0 < int(response["Retry-After"]) <= 60
        assert "That was a lot at once" in response.content.decode()
        assert Submission.objects.count() == 2


def test_too_many_files_in_a_form_show_an_error_page(owner_client: Client) -> None:
    response = owner_client.post(UPLOAD, {"images": [file(f"{number}.png") for number in range(101)]})
    assert response.status_code == 413
    assert "Send fewer pictures at once" in response.content.decode()
    assert not Submission.objects.exists()

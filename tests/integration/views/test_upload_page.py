"""Uploading without scripts: one plain form, one or several files, each with its own outcome."""

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


def test_one_file_leads_to_its_page(owner_client: Client, visitor: Actor) -> None:
    response = owner_client.post(UPLOAD, {"images": [file()], "may_train": "on"})
    submission = Submission.objects.get()
    assert response.url == submission.get_absolute_url()
    assert (submission.visitor, submission.source, submission.may_train) == (visitor.visitor, "upload", True)


def test_the_checkbox_opts_out_of_training(owner_client: Client) -> None:
    owner_client.post(UPLOAD, {"images": [file()]})
    assert not Submission.objects.get().may_train


def test_somebody_new_becomes_a_visitor_who_finds_it_again(client: Client) -> None:
    response = client.post(UPLOAD, {"images": [file()]}, follow=True)
    assert response.status_code == 200
    assert Submission.objects.get().public_id in client.get("/history/").content.decode()


@pytest.mark.sqlite_only
def test_whose_large_picture_finds_no_room_hears_when_to_come_back(owner_client: Client, monkeypatch) -> None:
    """At 07961fc the status said that the picture was at fault."""
    monkeypatch.setattr(storage, "DECODE_WAIT_SECONDS", 0.05)
    with storage._decoding.slot("another caller", weight=storage._decoding.capacity):
        response = owner_client.post(UPLOAD, {"images": [file(data=png(Image.new("1", (3000, 3000))))]})
    assert (response.status_code, response["Retry-After"]) == (503, "2")
    assert storage.BUSY in response.content.decode()
    assert not Submission.objects.exists()


def test_one_bad_file_spoils_no_other(owner_client: Client) -> None:
    files = [file("a.png"), file("notes.png", b"hello"), file("b.png", png(digit(seed=3))), file("empty.png", b"")]
    response = owner_client.post(UPLOAD, {"images": files}, follow=True)
    text = response.content.decode()
    first, second = Submission.objects.order_by("id")
    assert response.redirect_chain[0][0] == f"{reverse('upload-results')}?s={first.public_id}&s={second.public_id}"
    assert text.index(f"/s/{first.public_id}/") < text.index(f"/s/{second.public_id}/")
    assert "notes.png: " in text
    assert "empty.png: " in text


def test_the_results_show_a_stranger_nothing(owner_client: Client, other_client: Client) -> None:
    owner_client.post(UPLOAD, {"images": [file("a.png"), file("b.png")]})
    ids = [submission.public_id for submission in Submission.objects.all()]
    text = other_client.get(reverse("upload-results"), {"s": ids}).content.decode()
    assert "nothing to show" in text
    assert not any(public_id in text for public_id in ids)


@pytest.mark.parametrize(
    ("name", "data"),
    [("drawing.svg", SVG), ("text.png", b"not a picture"), ("blank.png", png(digit().point(lambda _: 0)))],
)
def test_a_file_that_cannot_be_read_is_refused_in_words_and_nothing_is_stored(
    owner_client: Client, media: object, name: str, data: bytes
) -> None:
    response = owner_client.post(UPLOAD, {"images": [file(name, data)]})
    assert response.status_code == 422
    assert f"{name}: " in response.content.decode()
    assert not Submission.objects.exists()
    assert not media.exists()


def test_a_file_that_is_too_large_is_refused_however_large_it_is(owner_client: Client, settings: object) -> None:
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
def test_opening_the_page_is_enough_to_be_known_so_that_pictures_sent_at_once_have_one_owner(
    client: Client, settings: object, address: str
) -> None:
    first = client.get(address).cookies[settings.VISITOR_COOKIE].value
    assert settings.VISITOR_COOKIE not in client.get(address).cookies
    assert client.cookies[settings.VISITOR_COOKIE].value == first


def test_too_many_pictures_at_once_are_refused_with_the_time_to_wait(site: Site, settings: object) -> None:
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


def test_more_files_than_one_form_may_hold_are_refused_on_a_page_that_says_so(owner_client: Client) -> None:
    response = owner_client.post(UPLOAD, {"images": [file(f"{number}.png") for number in range(101)]})
    assert response.status_code == 413
    assert "Send fewer pictures at once" in response.content.decode()
    assert not Submission.objects.exists()

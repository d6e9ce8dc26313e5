"""Tests of the My data page."""

import contextlib
import io
import re
import zipfile

import pytest
from django.http import FileResponse
from django.test import Client

from recognizer.models import OptOut, Submission
from recognizer.services.data import personal_data
from recognizer.services.lib import temp_files
from tests.factories import make_submission

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]

PAGE = "/account/data/"


def names_in(download: FileResponse) -> list[str]:
    with contextlib.closing(download):
        return zipfile.ZipFile(io.BytesIO(b"".join(download.streaming_content))).namelist()


def test_visitor_sees_downloads_and_deletes_own_data(owner_client: Client, visitor, stranger) -> None:
    own, other = make_submission(visitor), make_submission(stranger)
    text = owner_client.get(PAGE).content.decode()
    assert "It knows you by a cookie in this browser" in text
    assert ">1</a>, the oldest of" in text

    response = owner_client.post(PAGE + "download/")
    assert response["Content-Disposition"] == 'attachment; filename="my-digits.zip"'
    assert names_in(response) == ["data.json"]  # these rows have no file

    assert "1 picture, 0 answers" in owner_client.get(PAGE + "delete/").content.decode()
    assert Submission.objects.count() == 2
    done = owner_client.post(PAGE + "delete/", follow=True)
    assert "1 picture is gone for good, with every answer and label." in done.content.decode()
    assert list(Submission.objects.all()) == [other]
    assert own.public_id not in done.content.decode()


def test_actor_has_one_download_at_a_time(owner_client: Client, visitor, monkeypatch) -> None:
    meanwhile, make = [], personal_data._write

    def write(*args: object) -> None:
        meanwhile.append(owner_client.post(PAGE + "download/"))
        make(*args)

    monkeypatch.setattr(personal_data, "_write", write)
    monkeypatch.setattr(temp_files, "WAIT_SECONDS", 0.05)
    first = owner_client.post(PAGE + "download/")
    (second,) = meanwhile
    assert (second.status_code, second["Retry-After"]) == (503, "2")
    assert "Go back, wait a moment and try again." in second.content.decode()
    assert names_in(first) == ["data.json"]
    monkeypatch.undo()
    assert names_in(owner_client.post(PAGE + "download/")) == ["data.json"]


def test_stranger_has_no_data_and_no_actions(client: Client, visitor) -> None:
    make_submission(visitor)
    assert "none" in client.get(PAGE).content.decode()
    client.post(PAGE + "delete/")
    assert client.get(PAGE + "download/").status_code == 405
    assert Submission.objects.count() == 1


def test_opt_out_is_shown_on_every_page_that_asks_for_consent(owner_client: Client, visitor) -> None:
    assert re.search(r"data-may-train\s+checked", owner_client.get("/").content.decode())
    done = owner_client.post(PAGE, follow=True).content.decode()
    assert "Nothing of yours trains any more." in done
    assert OptOut.objects.get().visitor == visitor.visitor
    for page in ("/", "/upload/"):
        assert re.search(r"data-may-train\s+disabled", owner_client.get(page).content.decode())
    assert "from now on may help" in owner_client.post(PAGE, {"train": "1"}, follow=True).content.decode()
    assert not OptOut.objects.exists()


def test_account_can_be_deleted_with_its_data(reviewer_client: Client, reviewer, operator_client: Client) -> None:
    assert "rita" in reviewer_client.get(PAGE + "delete/").content.decode()
    done = reviewer_client.post(PAGE + "delete/", {"account": "1"}, follow=True)
    assert "and so is your account" in done.content.decode()
    assert not done.wsgi_request.user.is_authenticated
    refused = operator_client.post(PAGE + "delete/", {"account": "1"}, follow=True)
    assert "only operator" in refused.content.decode()


def test_retention_period_is_shown(owner_client: Client, settings) -> None:
    settings.RETENTION_DAYS = 90
    assert "90 days, then deleted" in owner_client.get(PAGE).content.decode()


def test_actor_without_data_is_offered_no_download_and_no_deletion(client: Client, reviewer) -> None:
    text = client.get(PAGE).content.decode()
    assert "nothing of yours" in text
    assert "Download everything" not in text
    assert "Delete everything" not in text
    client.force_login(reviewer.user)
    text = client.get(PAGE).content.decode()
    assert "Delete the account" in text
    assert "Download everything" in text  # the account itself

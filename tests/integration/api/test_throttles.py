"""Limits by minute, daily quotas, and the setting that requires accounts."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from digitsite import env
from digitsite.testing.site import Site
from recognizer.models import DailyUsage, Submission
from recognizer.services.identity import quotas, tokens
from recognizer.services.identity.actors import SYSTEM_ACTOR, Actor
from recognizer.services.identity.quotas import QuotaError
from recognizer.services.lib.addresses import network_of
from recognizer.services.lib.units import MEGABYTE
from tests.image_samples import SEVEN, digit, png
from tests.support.people import client_of

SUBMISSIONS = "/api/v1/submissions"


def remote_client(address: str = "192.0.2.7", **headers: str) -> Client:
    """Return a client on another machine."""
    return Client(HTTP_HOST="localhost", REMOTE_ADDR=address, headers=headers)


def send_blank_preview(client: Client) -> HttpResponse:
    return client.post("/api/v1/preview", {"strokes": []}, content_type="application/json")


def send(client: Client) -> HttpResponse:
    return client.post(SUBMISSIONS, {"strokes": SEVEN}, content_type="application/json", headers={"Prefer": "wait=0"})


def refused(answers: list[HttpResponse]) -> int:
    return sum(item.status_code == 429 for item in answers)


# --- Rate limits -----------------------------------------------------------------------------------------------------


def test_throttled_client_gets_retry_after_and_may_do_other_things(site: Site, settings) -> None:
    settings.PREVIEWS_PER_MINUTE = (5, 5, 5)
    site.start_redis()
    with site.entered():
        program = remote_client()
        answers = [send_blank_preview(program) for _ in range(12)]
        # A new window may begin once during the requests.
        assert 2 <= refused(answers) <= 7
        last = next(item for item in answers if item.status_code == 429)
        assert last.headers["Content-Type"] == "application/problem+json"
        assert 1 <= int(last.headers["Retry-After"]) <= 60
        assert last.json()["code"] == "throttled"
        assert program.get(SUBMISSIONS).status_code == 200
        assert send_blank_preview(remote_client("192.0.2.8")).status_code == 200


def test_account_and_token_have_separate_limits_from_any_address(site: Site, settings) -> None:
    settings.READS_PER_MINUTE = (0, 4, 2)
    site.start_redis()
    with site.entered():
        actor = Actor(user=User.objects.create_user("ann"))
        _, key = tokens.create(actor=actor, name="reader", scopes=["read"])
        browser = client_of(actor)
        programs = [remote_client(f"192.0.2.{n}", Authorization=f"Bearer {key}") for n in range(6)]
        assert 2 <= refused([program.get("/api/v1/me") for program in programs]) <= 4
        assert refused([browser.get("/api/v1/me") for _ in range(3)]) == 0
        assert refused([remote_client().get("/api/v1/me") for _ in range(9)]) == 0


def test_loopback_address_is_not_counted(site: Site, settings, anonymous_client) -> None:
    settings.READS_PER_MINUTE = (1, 1, 1)
    site.start_redis()
    with site.entered():
        assert refused([anonymous_client.get("/api/v1/me") for _ in range(9)]) == 0


@pytest.mark.django_db
def test_limits_are_off_without_redis(settings) -> None:
    settings.PREVIEWS_PER_MINUTE = (1, 1, 1)
    assert [send_blank_preview(remote_client()).status_code for _ in range(4)] == [200] * 4


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("127.0.0.1", ""),
        ("::1", ""),
        ("", ""),
        ("unix:", ""),
    ],
)
def test_ipv6_network_is_counted_as_one_client(address: str, counted_as: str) -> None:
    assert network_of(address) == counted_as


# --- Quotas ----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.usefixtures("media")
def test_daily_quota_of_an_address_is_429_until_the_next_day(settings) -> None:
    settings.SUBMISSIONS_PER_DAY = (2, 1)
    program = remote_client()
    assert [send(program).status_code for _ in range(3)] == [202, 202, 429]
    rejected = send(program)
    assert (rejected.json()["code"], rejected.headers["Content-Type"]) == ("quota_exceeded", "application/problem+json")
    assert 0 < int(rejected.headers["Retry-After"]) <= 24 * 3600
    assert Submission.objects.count() == 2
    assert send(remote_client("192.0.2.8")).status_code == 202
    assert program.get("/api/v1/me").json()["quota"]["submissions_left"] == 0
    assert "192.0.2" not in "".join(DailyUsage.objects.values_list("who", flat=True))


@pytest.mark.django_db
@pytest.mark.usefixtures("media")
def test_rejected_images_do_not_use_the_quota_and_batches_use_one_for_each_image(settings) -> None:
    settings.SUBMISSIONS_PER_DAY = (3, 3)
    program = remote_client()
    blank = program.post(SUBMISSIONS, {"strokes": []}, content_type="application/json")
    assert blank.status_code == 422
    batch = [{"strokes": SEVEN}, {"strokes": []}, {"strokes": SEVEN}]
    response = program.post(SUBMISSIONS, batch, content_type="application/json", headers={"Prefer": "wait=0"})
    assert [item["status"] for item in response.json()] == [202, 422, 202]
    assert program.get("/api/v1/me").json()["quota"]["submissions_left"] == 1
    assert program.post(SUBMISSIONS, batch, content_type="application/json").status_code == 429
    assert Submission.objects.count() == 2


@pytest.mark.django_db
def test_quota_limits_bytes(settings, media) -> None:
    settings.MEGABYTES_PER_DAY = (1, 1)
    actor = Actor(address="192.0.2.7")
    quotas.consume(actor=actor, submissions=1, size=MEGABYTE - 1)
    assert quotas.remaining(actor).bytes_left == 1
    with pytest.raises(QuotaError):
        quotas.consume(actor=actor, submissions=1, size=2)
    quotas.consume(actor=actor, submissions=1, size=1)
    response = remote_client().post("/upload/", {"images": SimpleUploadedFile("digit.png", png(digit()))})
    assert response.status_code == 422
    assert "as much as one may in a day" in response.content.decode()
    assert not [path for path in media.rglob("*") if path.is_file()]


@pytest.mark.django_db
def test_quota_is_reset_each_day(settings) -> None:
    settings.SUBMISSIONS_PER_DAY = (1, 1)
    actor = Actor(address="192.0.2.7")
    quotas.consume(actor=actor, submissions=1, size=1)
    assert quotas.delete_old_days() == 0
    DailyUsage.objects.update(day=timezone.now().date() - timedelta(days=2))
    quotas.consume(actor=actor, submissions=1, size=1)
    assert quotas.delete_old_days() == 1


@pytest.mark.django_db
def test_operators_and_commands_have_no_quota(settings, operator, reviewer) -> None:
    settings.SUBMISSIONS_PER_DAY = (1, 1)
    for actor in (operator, SYSTEM_ACTOR, Actor(address="127.0.0.1")):
        for _ in range(3):
            quotas.consume(actor=actor, submissions=1, size=1)
        assert quotas.remaining(actor).submissions is None
    quotas.consume(actor=reviewer, submissions=1, size=1)
    with pytest.raises(QuotaError):
        quotas.consume(actor=reviewer, submissions=1, size=1)


# --- Submissions from accounts only ----------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.usefixtures("media")
def test_every_entry_point_requires_an_account_if_configured(
    anonymous_client: Client, owner_client: Client, reviewer_client: Client, settings
) -> None:
    settings.ANONYMOUS_SUBMISSIONS = False
    batch = [{"strokes": SEVEN}, {"strokes": SEVEN}]
    for client in (anonymous_client, owner_client):
        for address, body in (
            (SUBMISSIONS, {"strokes": SEVEN}),
            (SUBMISSIONS, batch),
            ("/api/v1/preview", {"strokes": SEVEN}),
        ):
            refused = client.post(address, body, content_type="application/json")
            assert (refused.status_code, "sign in" in refused.json()["detail"]) == (403, True)
        raw = client.post(SUBMISSIONS, png(digit()), content_type="image/png")
        assert raw.status_code == 403
        page = client.post("/upload/", {"images": SimpleUploadedFile("digit.png", png(digit()))})
        assert page.status_code == 302
        assert page.headers["Location"].startswith("/account/login/")
        assert not client.get("/api/v1/me").json()["may_submit"]
    assert not Submission.objects.exists()
    headers = {"Prefer": "wait=0"}
    accepted = reviewer_client.post(SUBMISSIONS, {"strokes": SEVEN}, content_type="application/json", headers=headers)
    assert accepted.status_code == 202


# --- Settings --------------------------------------------------------------------------------------------------------


def test_limit_setting_is_one_number_or_three(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, expected in (("", (600, 600, 3000)), ("7", (7, 7, 7)), ("7, 8,9", (7, 8, 9)), ("0", (0, 0, 0))):
        monkeypatch.setenv("SUBMISSIONS_PER_MINUTE", text)
        assert env.read("SUBMISSIONS_PER_MINUTE") == expected
    for bad in ("7,8", "many", "-1", "1.5", "1,2,3,4", "9999999999"):
        monkeypatch.setenv("SUBMISSIONS_PER_MINUTE", bad)
        assert [error.split()[0] for error in env.find_errors()] == ["SUBMISSIONS_PER_MINUTE"]

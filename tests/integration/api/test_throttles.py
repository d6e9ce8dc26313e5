"""Who may send at all, how much one may ask for in a minute, and how much one may store in a day."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from digitsite import env
from digitsite.testing.site import Site
from recognizer.models import DailyUsage, Submission
from recognizer.services.identity import quotas, tokens
from recognizer.services.identity.actors import SYSTEM_ACTOR, Actor
from recognizer.services.identity.quotas import QuotaError, network_of
from tests.image_samples import SEVEN, digit, png
from tests.support.people import client_of

SUBMISSIONS = "/api/v1/submissions"


def elsewhere(address: str = "192.0.2.7", **headers: str) -> Client:
    """A program on another machine."""
    return Client(HTTP_HOST="localhost", REMOTE_ADDR=address, headers=headers)


def preview_nothing(client: Client) -> HttpResponse:
    return client.post("/api/v1/preview", {"strokes": []}, content_type="application/json")


def send(client: Client) -> HttpResponse:
    return client.post(SUBMISSIONS, {"strokes": SEVEN}, content_type="application/json", headers={"Prefer": "wait=0"})


def refused(answers: list[HttpResponse]) -> int:
    return sum(one.status_code == 429 for one in answers)


# --- In a minute -----------------------------------------------------------------------------------------------------


def test_whoever_asks_too_often_is_told_when_to_come_back_and_may_do_other_things(site: Site, settings) -> None:
    settings.PREVIEWS_PER_MINUTE = (5, 5, 5)
    site.start_redis()
    with site.entered():
        program = elsewhere()
        answers = [preview_nothing(program) for _ in range(12)]
        # The window may turn in the midst of them, once.
        assert 2 <= refused(answers) <= 7
        last = next(one for one in answers if one.status_code == 429)
        assert last.headers["Content-Type"] == "application/problem+json"
        assert 1 <= int(last.headers["Retry-After"]) <= 60
        assert last.json()["code"] == "throttled"
        assert program.get(SUBMISSIONS).status_code == 200
        assert preview_nothing(elsewhere("192.0.2.8")).status_code == 200


def test_an_account_and_its_tokens_are_counted_apart_and_wherever_they_come_from(site: Site, settings) -> None:
    settings.READS_PER_MINUTE = (0, 4, 2)
    site.start_redis()
    with site.entered():
        actor = Actor(user=User.objects.create_user("ann"))
        _, key = tokens.create(actor=actor, name="reader", scopes=["read"])
        browser = client_of(actor)
        programs = [elsewhere(f"192.0.2.{n}", Authorization=f"Bearer {key}") for n in range(6)]
        assert 2 <= refused([program.get("/api/v1/me") for program in programs]) <= 4
        assert refused([browser.get("/api/v1/me") for _ in range(3)]) == 0
        assert refused([elsewhere().get("/api/v1/me") for _ in range(9)]) == 0


def test_this_machine_itself_is_not_counted(site: Site, settings, anonymous_client) -> None:
    settings.READS_PER_MINUTE = (1, 1, 1)
    site.start_redis()
    with site.entered():
        assert refused([anonymous_client.get("/api/v1/me") for _ in range(9)]) == 0


@pytest.mark.django_db
def test_without_the_cache_nobody_is_throttled(settings) -> None:
    settings.PREVIEWS_PER_MINUTE = (1, 1, 1)
    assert [preview_nothing(elsewhere()).status_code for _ in range(4)] == [200] * 4


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
def test_neighbours_in_ipv6_are_counted_as_one_and_this_machine_not_at_all(address: str, counted_as: str) -> None:
    assert network_of(address) == counted_as


# --- In a day --------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.usefixtures("media")
def test_what_an_address_may_store_in_a_day_ends_with_the_time_of_the_next(settings) -> None:
    settings.SUBMISSIONS_PER_DAY = (2, 1)
    program = elsewhere()
    assert [send(program).status_code for _ in range(3)] == [202, 202, 429]
    over = send(program)
    assert (over.json()["code"], over.headers["Content-Type"]) == ("quota_exceeded", "application/problem+json")
    assert 0 < int(over.headers["Retry-After"]) <= 24 * 3600
    assert Submission.objects.count() == 2
    assert send(elsewhere("192.0.2.8")).status_code == 202
    assert program.get("/api/v1/me").json()["quota"]["submissions_left"] == 0
    assert "192.0.2" not in "".join(DailyUsage.objects.values_list("who", flat=True))


@pytest.mark.django_db
@pytest.mark.usefixtures("media")
def test_a_refused_picture_costs_nothing_and_a_batch_costs_each_of_its_pictures(settings) -> None:
    settings.SUBMISSIONS_PER_DAY = (3, 3)
    program = elsewhere()
    blank = program.post(SUBMISSIONS, {"strokes": []}, content_type="application/json")
    assert blank.status_code == 422
    batch = [{"strokes": SEVEN}, {"strokes": []}, {"strokes": SEVEN}]
    response = program.post(SUBMISSIONS, batch, content_type="application/json", headers={"Prefer": "wait=0"})
    assert [one["status"] for one in response.json()] == [202, 422, 202]
    assert program.get("/api/v1/me").json()["quota"]["submissions_left"] == 1
    assert program.post(SUBMISSIONS, batch, content_type="application/json").status_code == 429
    assert Submission.objects.count() == 2


@pytest.mark.django_db
def test_bytes_are_counted_too(settings, media) -> None:
    settings.MEGABYTES_PER_DAY = (1, 1)
    actor = Actor(address="192.0.2.7")
    quotas.consume(actor=actor, submissions=1, size=quotas.MEGABYTE - 1)
    assert quotas.remaining(actor).bytes_left == 1
    with pytest.raises(QuotaError):
        quotas.consume(actor=actor, submissions=1, size=2)
    quotas.consume(actor=actor, submissions=1, size=1)
    response = elsewhere().post("/upload/", {"images": SimpleUploadedFile("digit.png", png(digit()))})
    assert response.status_code == 422
    assert "as much as one may in a day" in response.content.decode()
    assert not [path for path in media.rglob("*") if path.is_file()]


@pytest.mark.django_db
def test_a_new_day_begins_anew_and_old_days_are_forgotten(settings) -> None:
    settings.SUBMISSIONS_PER_DAY = (1, 1)
    actor = Actor(address="192.0.2.7")
    quotas.consume(actor=actor, submissions=1, size=1)
    assert quotas.delete_old_days() == 0
    DailyUsage.objects.update(day=timezone.now().date() - timedelta(days=2))
    quotas.consume(actor=actor, submissions=1, size=1)
    assert quotas.delete_old_days() == 1


@pytest.mark.django_db
def test_operators_and_commands_have_no_limit(settings, operator, reviewer) -> None:
    settings.SUBMISSIONS_PER_DAY = (1, 1)
    for actor in (operator, SYSTEM_ACTOR, Actor(address="127.0.0.1")):
        for _ in range(3):
            quotas.consume(actor=actor, submissions=1, size=1)
        assert quotas.remaining(actor).submissions is None
    quotas.consume(actor=reviewer, submissions=1, size=1)
    with pytest.raises(QuotaError):
        quotas.consume(actor=reviewer, submissions=1, size=1)


# --- Where pictures are taken from accounts only ---------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.usefixtures("media")
def test_every_door_is_shut_to_who_has_no_account(
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


def test_a_limit_is_one_number_or_one_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    for written, read in (("", (1, 2, 3)), ("7", (7, 7, 7)), ("7, 8,9", (7, 8, 9)), ("0", (0, 0, 0))):
        monkeypatch.setenv("READS_PER_MINUTE", written)
        assert env.limits("READS_PER_MINUTE", (1, 2, 3)) == read
    for bad in ("7,8", "many", "-1", "1.5", "1,2,3,4", "9999999999"):
        monkeypatch.setenv("READS_PER_MINUTE", bad)
        with pytest.raises(ImproperlyConfigured, match="READS_PER_MINUTE"):
            env.limits("READS_PER_MINUTE", (1, 2, 3))

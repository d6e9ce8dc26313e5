"""Rate limits of all operations, on pages and in the API: every URL of the site is requested."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from digitsite import redis_urls
from digitsite.testing.site import Site
from recognizer.models import Attempt, LabelReason, Source, Submission, TrainingRun
from recognizer.services.identity import throttling, tokens, users
from recognizer.services.identity.actors import Actor
from recognizer.services.identity.throttling import Kind, ThrottledError
from recognizer.services.lib.redis_client import redis_client
from recognizer.services.review import labels
from recognizer.services.submissions import service
from tests.factories import make_prediction
from tests.image_samples import SEVEN, digit, png
from tests.support.people import client_of

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_only, pytest.mark.usefixtures("media")]

REMOTE_CLIENT_ADDRESS = "192.0.2.7"
SAFE = ("GET", "HEAD", "OPTIONS")


@pytest.fixture
def redis(site: Site, settings) -> None:
    """Only the Redis of a site, for the counters."""
    site.start_redis()
    settings.HANDOFF_URL = redis_urls.database_url(site.redis_url, redis_urls.HANDOFF)
    settings.PREDICTION_WAIT_SECONDS = 0


def counts() -> Counter[str]:
    """Return the counts by kind over all clients and windows; password attempts are ATTEMPT."""
    client = redis_client()
    result = Counter({"ATTEMPT": Attempt.objects.count()})
    for key in client.keys("asked:*"):
        kind = key.decode().split(":")[2]
        result[kind] += int(client.get(key))
    return result


@dataclass(frozen=True)
class Change:
    """A request that changes something: view name, method, client, data and the kind it counts as."""

    view: str
    method: str
    caller: str
    data: object = None
    counts: str = Kind.CHANGE


CANVAS = {"strokes": SEVEN}
PASSWORD = "three grey cats 7"
PAGES = (
    Change("upload", "post", "visitor", {"images": "PICTURE"}, Kind.SUBMIT),
    Change("history-bulk", "post", "operator", {"s": "ID", "act": "label", "value": "4"}),
    Change("history-bulk", "post", "operator", {"s": "ID", "act": "delete-now"}),
    Change("submission-label", "post", "owner", {"value": "4"}),
    Change("submission-retract", "post", "owner"),
    Change("submission-crop", "post", "owner", {"crop": "[20, 20, 260, 260]"}, Kind.SUBMIT),
    Change("submission-delete", "post", "owner"),
    Change("submission-share", "post", "owner"),
    Change("submission-share", "post", "owner", {"stop": "1"}),
    Change("review-decide", "post", "reviewer", {"submission": "ID", "act": "4"}),
    Change("review-decide", "post", "reviewer", {"submission": "ID", "act": "skip"}),
    Change("review-grid", "post", "reviewer", {"digit": "7", "shown": "ID"}),
    Change("model-promote", "post", "operator"),
    Change("model-roll-back", "post", "operator"),
    Change("training-start", "post", "operator"),
    Change("training-cancel", "post", "operator"),
    Change("login", "post", "visitor", {"username": "ann", "password": "wrong"}, "ATTEMPT"),
    Change("sign-up", "post", "visitor", {"username": "new", "password1": PASSWORD, "password2": PASSWORD}, "ATTEMPT"),
    Change("password_reset", "post", "visitor", {"email": "ann@example.org"}, "ATTEMPT"),
    Change("logout", "post", "owner"),
    Change("sign-in", "post", "visitor"),
    Change("tokens", "post", "owner", {"name": "new", "scopes": "read", "days": "1"}),
    Change("token-delete", "post", "owner"),
    Change("my-data", "post", "owner"),
    Change("my-data", "post", "owner", {"train": "1"}),
    Change("my-data-download", "post", "owner"),
    Change("my-data-delete", "post", "owner"),
    Change("people-link", "post", "operator"),
    Change("people-role", "post", "operator", {"role": "reviewer"}),
)
API = (
    Change("api-submissions", "post", "visitor", CANVAS, Kind.SUBMIT),
    Change("api-submissions", "post", "visitor", [CANVAS, CANVAS], Kind.SUBMIT),
    Change("api-preview", "post", "visitor", {"strokes": []}, Kind.PREVIEW),
    Change("api-submission", "delete", "owner"),
    Change("api-submission-read-key", "delete", "owner"),
    Change("api-submission-crop", "put", "owner", {"crop": [20, 20, 260, 260]}, Kind.SUBMIT),
    Change("api-submission-share", "post", "owner"),
    Change("api-submission-share", "delete", "owner"),
    Change("api-submission-labels", "post", "owner", {"value": "4"}),
    Change("api-label", "delete", "owner"),
    Change("api-review-next", "post", "reviewer", {}),
    Change("api-review-grid", "post", "reviewer", {"digit": 7}),
    Change("api-review-decisions", "post", "reviewer", {"submission": "ID", "value": "4"}),
    Change("api-review-decisions-several", "post", "reviewer", {"decisions": [{"submission": "ID", "value": "4"}]}),
    Change("api-review-skips", "post", "reviewer", {"submission": "ID"}),
    Change("api-review-undo", "post", "reviewer", {"submission": "ID"}),
    Change("api-promote", "post", "operator", {}),
    Change("api-roll-back", "post", "operator", {}),
    Change("api-training-runs", "post", "operator", {}),
    Change("api-cancel-training-run", "post", "operator"),
    Change("api-tokens", "post", "owner", {"name": "new", "scopes": ["read"]}),
    Change("api-token", "delete", "owner"),
)
# Two operations in one request: the account is created, and its sign-in link.
OPERATION_COUNTS = {("people-add", "post"): 2}
# Reads that also lease items, which is an operation.
LEASING = ("review", "review-grid")
UNCOUNTED = ("healthz", "readyz", "metrics", "robots", "favicon")


class PopulatedSite:
    """One object of each kind, and a client for each kind of caller."""

    def __init__(self) -> None:
        self.owner = Actor(user=User.objects.create_user("ann", "ann@example.org"))
        self.submission = service.create_from_strokes(actor=self.owner, strokes=SEVEN, source=Source.API)
        make_prediction(self.submission)
        self.label = labels.record_label(
            actor=self.owner, submission=self.submission, value="7", reason=LabelReason.API
        ).label
        self.operator, self.reviewer = (_member(name) for name in ("operator", "reviewer"))
        self.run = TrainingRun.objects.create(trigger="person", requested_by=self.operator.user)
        self.token = tokens.create(actor=self.owner, name="reader", scopes=["read"])[0]
        self.link = users.sign_in_link(User.objects.create_user("guest")).split("/")
        self.clients = {name: self.client(name) for name in ("visitor", "owner", "reviewer", "operator")}

    def client(self, caller: str) -> Client:
        if caller == "visitor":
            return Client(HTTP_HOST="localhost", REMOTE_ADDR=REMOTE_CLIENT_ADDRESS)
        return client_of(getattr(self, caller))

    def address(self, view: str, names: list[str]) -> str:
        values = {
            "public_id": self.submission.public_id,
            "label_id": self.label.pk,
            "number": 1,
            "name": "curves",
            "uid": self.link[-2] if self.link[-1] else self.link[-3],
            "token": self.link[-1] or self.link[-2],
            "pk": {
                "api-prediction": self.submission.latest_prediction_id,
                "api-label": self.label.pk,
                "token-delete": self.token.pk,
                "api-token": self.token.pk,
                "people-link": self.owner.user.pk,
                "people-role": self.owner.user.pk,
            }.get(view, self.run.pk),
        }
        return reverse(view, kwargs={name: values.get(name, "x") for name in names})

    def ask(self, change: Change, names: list[str]) -> HttpResponse:
        client, address = self.client(change.caller), self.address(change.view, names)
        data = json.loads(json.dumps(change.data).replace('"ID"', f'"{self.submission.public_id}"'))
        if data == {"images": "PICTURE"}:
            data = {"images": SimpleUploadedFile("digit.png", png(digit()))}
        if change.view.startswith("api-"):
            body = {"data": data, "content_type": "application/json"} if data is not None else {}
            return getattr(client, change.method)(address, **body, headers={"Prefer": "wait=0"})
        return getattr(client, change.method)(address, data or {})


def _member(group: str) -> Actor:
    from django.contrib.auth.models import Group

    user = User.objects.create_user(group)
    user.groups.add(Group.objects.get(name=group))
    return Actor(user=user)


def views(patterns: list | None = None) -> Iterator[tuple[str, list[str], object]]:
    """Yield name, argument names and function of every view except those of the admin."""
    for pattern in patterns if patterns is not None else get_resolver().url_patterns:
        if isinstance(pattern, URLResolver):
            if pattern.app_name != "admin":
                yield from views(pattern.url_patterns)
        elif isinstance(pattern, URLPattern):
            yield pattern.name, list(pattern.pattern.converters), pattern.callback


NAMES = {name: names for name, names, _ in views()}


@pytest.fixture
def populated(redis: None, settings) -> PopulatedSite:
    settings.SENDS_MAIL = True
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return PopulatedSite()


def test_every_change_is_counted_once(populated: PopulatedSite) -> None:
    wrong = {}
    for change in (*PAGES, *API, Change("people-add", "post", "operator", {"name": "new", "role": "visitor"})):
        # Opting out commits its own transaction and does not affect the other requests.
        with nullcontext() if change.view == "my-data" else transaction.atomic():
            before = counts()
            response = populated.ask(change, NAMES[change.view])
            if response.streaming:
                response.getvalue()
            counted = counts() - before
            if change.view != "my-data":
                transaction.set_rollback(True)
        expected = Counter({change.counts: OPERATION_COUNTS.get((change.view, change.method), 1)})
        if response.status_code in (409, 422):  # rejected by the operation, because the objects do not allow it
            expected[Kind.READ] += 1
        if counted != expected or response.status_code in (400, 403, 404, 405, 500):
            wrong[change.view, change.method, str(change.data)] = (response.status_code, counted)
    assert not wrong


def test_tables_list_every_view_that_accepts_changes(populated: PopulatedSite) -> None:
    """A new view that accepts POST, PUT, PATCH or DELETE needs an entry in the tables above."""
    known = {(change.view, change.method.upper()) for change in (*PAGES, *API)} | {
        ("people-add", "POST"),
        ("password_change", "POST"),
    }
    other = {}
    for name, names, _ in views():
        if name == "password_reset_confirm":
            continue  # an invalid link is reported for every method
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            if (name, method) in known:
                continue
            for caller in ("operator", "visitor"):
                response = populated.clients[caller].generic(method, populated.address(name, names))
                is_redirect = response.status_code == 302 and (caller == "visitor" or name == "login")
                if response.status_code != 405 and not is_redirect:
                    other[name, method, caller] = response.status_code
    assert not other


def test_every_read_is_counted_once(populated: PopulatedSite) -> None:
    wrong = {}
    for name, names, _ in views():
        before = counts()
        response = populated.clients["operator"].get(populated.address(name, names))
        if response.streaming:
            response.getvalue()
        if response.status_code == 405:
            continue
        expected = Counter({Kind.READ: 0 if name in UNCOUNTED else 1, Kind.CHANGE: int(name in LEASING)})
        if counts() - before != +expected:
            wrong[name] = (response.status_code, counts() - before)
    assert not wrong


def test_rejected_request_counts_as_a_read(populated: PopulatedSite, settings) -> None:
    before = counts()
    visitor = populated.clients["visitor"]
    assert visitor.post("/s/missing/label/", {"value": "4"}).status_code == 404
    assert visitor.post("/api/v1/submissions", "{", content_type="application/json").status_code == 400
    assert visitor.get("/api/v1/training-runs").status_code == 403
    assert counts() - before == Counter({Kind.READ: 3})
    settings.READS_PER_MINUTE = (2, 2, 2)
    answers = [visitor.post("/api/v1/submissions", "{", content_type="application/json") for _ in range(9)]
    assert [answer.status_code for answer in answers].count(429) >= 5


def test_requests_with_invalid_tokens_are_throttled(populated: PopulatedSite, settings) -> None:
    settings.READS_PER_MINUTE = (3, 3, 3)
    program = Client(
        HTTP_HOST="localhost", REMOTE_ADDR=REMOTE_CLIENT_ADDRESS, headers={"Authorization": "Bearer digits_none"}
    )
    before = counts()
    answers = [program.get("/api/v1/me"), program.delete("/api/v1/labels/1")]
    assert counts() - before == Counter({Kind.READ: 2})
    answers += [program.get("/api/v1/me") for _ in range(9)]
    assert [answer.status_code for answer in answers][:2] == [401, 401]
    assert answers[-1].status_code == 429
    assert answers[-1].json()["code"] == "throttled"


def test_page_and_api_share_the_limit_for_labels(populated: PopulatedSite, settings) -> None:
    """Regression test: the page accepted 600 labels at a limit of ten."""
    settings.CHANGES_PER_MINUTE = (10, 10, 10)
    page, api = (populated.address(name, ["public_id"]) for name in ("submission-label", "api-submission-labels"))
    owner = populated.clients["owner"]
    answers = [
        owner.post(page, {"value": "4"})
        if turn % 2
        else owner.post(api, {"value": "5"}, content_type="application/json")
        for turn in range(40)
    ]
    accepted = [answer for answer in answers if answer.status_code != 429]
    assert 8 <= len(accepted) <= 20  # two are used up; a new window may begin once
    assert populated.submission.labels.count() == 1 + len(accepted)
    for answer in answers[-2:]:
        assert (answer.status_code, 1 <= int(answer["Retry-After"]) <= 60) == (429, True)
    program, person = answers[-2], answers[-1]
    assert (program.json()["code"], program["Content-Type"]) == ("throttled", "application/problem+json")
    assert "That was a lot at once. Wait " in person.content.decode()
    assert "Nothing was changed." in person.content.decode()


def test_throttled_page_has_retry_after(populated: PopulatedSite, settings) -> None:
    settings.READS_PER_MINUTE = (3, 3, 3)
    answers = [populated.clients["visitor"].get("/history/") for _ in range(12)]
    assert [answer.status_code for answer in answers].count(200) in range(3, 7)
    assert "Retry-After" in answers[-1].headers
    assert populated.clients["visitor"].get("/healthz").status_code == 200


def test_loopback_is_exempt_unless_there_is_a_proxy(redis: None, settings) -> None:
    settings.CHANGES_PER_MINUTE = (1, 1, 1)
    local = Actor(address="127.0.0.1")
    for _ in range(9):
        throttling.count(local, Kind.CHANGE)
        throttling.count(Actor(), Kind.CHANGE)  # a command
    settings.BEHIND_PROXY = True
    throttling.count(local, Kind.CHANGE)
    with pytest.raises(ThrottledError):
        _count_twice(local)  # a new window may begin once
    _count_twice(Actor())


def _count_twice(actor: Actor) -> None:
    for _ in "ab":
        throttling.count(actor, Kind.CHANGE)


def test_throttled_bulk_deletion_deletes_nothing(populated: PopulatedSite, settings) -> None:
    settings.CHANGES_PER_MINUTE = (1, 1, 1)
    ids = [service.create_from_strokes(actor=Actor(visitor="a" * 32), strokes=SEVEN, source=Source.API) for _ in "ab"]
    answers = [
        populated.clients["operator"].post("/history/bulk/", {"s": row.public_id, "act": "delete-now"})
        for row in (*ids, populated.submission)
    ]
    assert answers[-1].status_code == 429
    assert Submission.objects.filter(pk=populated.submission.pk).exists()


def test_thirty_people_behind_one_address_can_draw_for_a_minute(redis: None) -> None:
    """Each draws four digits with three previews each, corrects two of them and opens History once."""
    statuses = Counter()
    for number in range(30):
        person = Client(HTTP_HOST="localhost", REMOTE_ADDR=REMOTE_CLIENT_ADDRESS)
        statuses[person.get("/").status_code] += 1
        for turn in range(4):
            for _ in range(3):
                answer = person.post("/api/v1/preview", {"strokes": []}, content_type="application/json")
                statuses[answer.status_code] += 1
            moved = [[[x + number, y + turn] for x, y in zip(*stroke[:2], strict=True)] for stroke in SEVEN]
            drawing = {"strokes": [[list(axis) for axis in zip(*stroke, strict=True)] for stroke in moved]}
            headers = {"Prefer": "wait=0"}
            response = person.post("/api/v1/submissions", drawing, content_type="application/json", headers=headers)
            statuses[response.status_code] += 1
            if turn < 2:
                address = f"/api/v1/submissions/{response.json()['id']}/labels"
                statuses[person.post(address, {"value": "7"}, content_type="application/json").status_code] += 1
        statuses[person.get("/history/").status_code] += 1
    assert set(statuses) <= {200, 201, 202}
    assert statuses[202] == 120

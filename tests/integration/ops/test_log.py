"""The log: one line per event, with the ids of request, submission and task, and without personal data."""

import io
import json
import logging

import pytest
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.test import Client
from django.utils.module_loading import import_string

from digitsite import logs
from digitsite.testing.site import Site, wait_until
from digitsite.testing.supervised import a_three
from recognizer.services.lib import request_context


@pytest.fixture
def log_output() -> io.StringIO:
    """The output of the site's log handler."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    for name in settings.LOGGING["handlers"]["stderr"]["filters"]:
        handler.addFilter(import_string(settings.LOGGING["filters"][name]["()"])())
    handler.setFormatter(logs.Text())
    root = logging.getLogger()
    root.addHandler(handler)
    yield stream
    root.removeHandler(handler)


@pytest.mark.django_db
def test_each_request_has_one_log_line_with_its_id(client: Client, log_output: io.StringIO) -> None:
    answer = client.get("/upload/")
    (line,) = [line for line in log_output.getvalue().splitlines() if "recognizer.requests" in line]
    assert "answered method=GET view=upload status=200 ms=" in line
    assert line.endswith(f"request_id={answer['X-Request-ID']}")


@pytest.mark.django_db
def test_valid_request_id_of_trusted_proxy_is_used(client: Client, settings) -> None:
    headers = {"X-Request-ID": "0123-abcd-4567"}
    assert client.get("/healthz", headers=headers)["X-Request-ID"] != "0123-abcd-4567"
    settings.BEHIND_PROXY = True
    assert client.get("/healthz", headers=headers)["X-Request-ID"] == "0123-abcd-4567"
    for bad in ("short", "x" * 65, "with blanks in it", "line\tbreak-0123"):
        assert client.get("/healthz", headers={"X-Request-ID": bad})["X-Request-ID"] != bad


def test_no_request_id_outside_request() -> None:
    request_context.add(submissions=[1])
    assert request_context.facts() == {}
    _, token = request_context.begin()
    request_context.add(submissions=[1])
    assert request_context.facts()["submissions"] == [1]
    request_context.end(token)
    assert request_context.facts() == {}


@pytest.mark.django_db
def test_readiness_failures_are_logged_as_warnings(client: Client, log_output: io.StringIO, settings, tmp_path) -> None:
    settings.HANDOFF_URL = f"unix://{tmp_path}/nobody.sock"
    assert client.get("/readyz").status_code == 503
    assert "WARNING recognizer.services.ops.health not ready: redis: Cannot be reached" in log_output.getvalue()
    assert " ERROR " not in log_output.getvalue()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "address",
    [
        "/account/sign-in/MQ/a-secret-token/",
        "/s/nobodys-picture/?key=a-secret-key",
        "/api/v1/submissions/nobodys?key=a-secret-key",
        "/a-secret-path",
    ],
)
def test_log_lines_have_no_keys_names_or_addresses(address: str, client: Client, log_output: io.StringIO) -> None:
    client.post("/account/login/", {"username": "secret-ann", "password": "a-secret"}, REMOTE_ADDR="203.0.113.77")
    client.get(address, REMOTE_ADDR="203.0.113.77", headers={"Authorization": "Bearer a-secret"})
    text = log_output.getvalue()
    assert "view=" in text
    assert "secret" not in text
    assert "203.0.113.77" not in text


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/", "/nothing", "/api/v1/submissions", "/readyz"])
@pytest.mark.parametrize("host", ["evil.example", "not a host", "x" * 5000])
def test_wrong_host_is_one_warning_line_that_names_the_setting(
    address: str, host: str, client: Client, log_output: io.StringIO
) -> None:
    answer = client.get(address, HTTP_HOST=host)
    assert answer.status_code == 400
    assert answer["Cache-Control"].startswith("private")
    line, access_line = log_output.getvalue().splitlines()
    assert " WARNING django.security.DisallowedHost Invalid HTTP_HOST header: " in line
    assert len(line) < 500
    assert "status=400" in access_line
    if host == "evil.example":
        assert "add 'evil.example' to ALLOWED_HOSTS" in line


def test_rejected_requests_follow_the_log_level(log_output: io.StringIO) -> None:
    log = logging.getLogger("django.security.DisallowedHost")
    log.setLevel(logging.ERROR)
    try:
        log.error("Invalid HTTP_HOST header", exc_info=DisallowedHost())
    finally:
        log.setLevel(logging.NOTSET)
    assert log_output.getvalue() == ""


def test_django_log_lines_name_view_instead_of_path(log_output: io.StringIO, rf) -> None:
    request = rf.get("/account/sign-in/MQ/a-secret-token/")
    args = ("Internal Server Error", request.path)
    logging.getLogger("django.request").error("%s: %s", *args, extra={"request": request, "status_code": 500})
    assert "Internal Server Error: no view" in log_output.getvalue()


def test_json_lines_are_objects_with_the_same_ids() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(logs.Context())
    handler.setFormatter(logs.json_formatter())
    log = logging.getLogger("test.json")
    log.addHandler(handler)
    request_id, token = request_context.begin()
    try:
        log.warning("two\nlines", extra={"submissions": [7]})
        raise ValueError("why")
    except ValueError:
        log.exception("failed")
    finally:
        request_context.end(token)
        log.removeHandler(handler)
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first["message"] == "two\nlines"
    assert first["submissions"] == [7]
    assert first["level"] == "WARNING"
    assert first["logger"] == "test.json"
    assert first["time"]
    assert first["request_id"] == second["request_id"] == request_id
    assert "ValueError: why" in second["exc_info"]


def test_submission_can_be_traced_from_request_to_worker(site: Site) -> None:
    site.settings["LOG_FORMAT"] = "json"
    site.start_redis()
    worker = site.start_worker()
    web = site.start_web()
    with site.client() as client:
        answer = client.post("/api/v1/submissions", json={"strokes": [a_three()]})

    def lines(output: str, **facts: object) -> list[dict]:
        records = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        return [line_facts for line_facts in records if facts.items() <= line_facts.items()]

    (requested,) = wait_until(lambda: lines(web.output, request_id=answer.headers["X-Request-ID"]))
    assert requested["status"] == 201
    (answered,) = wait_until(lambda: [line_facts for line_facts in lines(worker.output) if "submissions" in line_facts])
    assert len(requested["submissions"]) == 1
    assert answered["submissions"] == requested["submissions"]


@pytest.mark.parametrize("formatter", [logs.Text, logs.json_formatter])
def test_tokens_and_manage_keys_are_redacted(formatter, db: None) -> None:
    from digitsite.testing.users import member_of
    from recognizer.services.identity import permissions, tokens
    from recognizer.services.identity.actors import Actor

    _, token = tokens.create(actor=member_of("reviewer", "rita"), name="scanner", scopes=["read"])
    keys = [token, permissions.manage_key("AAAAAAAAAAAAAAAA")]
    assert permissions.manage_key("AAAAAAAAAAAAAAAA") not in repr(Actor(manage_key=keys[1]))
    record = logging.makeLogRecord({"msg": "sent %s and %s", "args": tuple(keys), "levelname": "INFO"})
    try:
        raise ValueError(keys)
    except ValueError as error:
        record.exc_info = (type(error), error, error.__traceback__)
    line = formatter().format(record)
    assert "manage_…" in line or "manage_\\u2026" in line
    assert not any(key[10:] in line for key in keys)

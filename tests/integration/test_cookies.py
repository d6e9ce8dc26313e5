"""Cookies of two sites on one host, and cookies of 0.9.0, whose names were the same for all sites."""

import re
from collections.abc import Iterator

import httpx
import pytest
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core import signing
from django.test import Client
from django.urls import reverse

from digitsite.testing.site import Site
from recognizer.models import Submission
from tests.image_samples import SEVEN

SUBMISSIONS = "/api/v1/submissions"
VISITOR = "c" * 32
NEW_NAMES = {settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME, settings.VISITOR_COOKIE}


# --- Two sites on one host --------------------------------------------------------------------------------------------


@pytest.fixture
def sites(make_site) -> Iterator[tuple[Site, Site]]:
    """Two running sites; browsers send the cookies of a host to all of its ports."""
    pair = make_site(), make_site()
    for site, key in zip(pair, ("first-" * 10, "second-" * 10), strict=True):
        site.settings |= {"SECRET_KEY": key + "0123456789", "PREDICTION_WAIT_SECONDS": "0"}
        site.collect_static_files()
        site.start_web()
    return pair


def test_two_sites_on_one_host_do_not_affect_each_others_users(sites: tuple[Site, Site]) -> None:
    addresses = [f"http://127.0.0.1:{site.port}" for site in sites]
    public_ids = []
    with httpx.Client(trust_env=False, timeout=30) as browser:
        for address in addresses:
            browser.get(address)
            page = browser.get(f"{address}/account/sign-up/").text
            form = {"username": "ann", "password1": "three grey cats 7", "password2": "three grey cats 7"}
            assert browser.post(f"{address}/account/sign-up/", data=form | csrf_field(page)).status_code == 302
            drawing = {"strokes": SEVEN}
            response = browser.post(address + SUBMISSIONS, json=drawing, headers=csrf_header(browser, page))
            assert response.status_code == 202, response.text
            public_ids.append(response.json()["id"])
        for address, public_id in zip(addresses, public_ids, strict=True):
            assert browser.get(f"{address}/api/v1/me").json()["user"] == "ann"
            results = browser.get(address + SUBMISSIONS).json()["results"]
            assert [result["id"] for result in results] == [public_id]


def csrf_field(page: str) -> dict[str, str]:
    return {"csrfmiddlewaretoken": re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[1]}


def csrf_header(browser: httpx.Client, page: str) -> dict[str, str]:
    """Return the CSRF header, built as in recognizer/static/recognizer/js/api.js."""
    name = re.search(r'data-csrf-cookie="(\w+)"', page)[1]
    return {"X-CSRFToken": browser.cookies[name]}


# --- Cookies of 0.9.0 -------------------------------------------------------------------------------------------------


@pytest.fixture
def account(db: None) -> User:
    return User.objects.create_user("ann")


@pytest.fixture
def old_browser(account: User) -> Client:
    """A browser with the three cookies of 0.9.0: signed in, and known as a visitor."""
    session = SessionStore()
    session[SESSION_KEY] = str(account.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = account.get_session_auth_hash()
    session.create()
    browser = Client(enforce_csrf_checks=True, HTTP_HOST="localhost")
    browser.cookies["sessionid"] = session.session_key
    browser.cookies["csrftoken"] = "k" * 32
    browser.cookies["visitor"] = signing.get_cookie_signer(salt="visitor" + "recognizer.visitor").sign(VISITOR)
    return browser


def drop_old_cookies(browser: Client) -> None:
    for name in ("sessionid", "csrftoken", "visitor"):
        browser.cookies.pop(name, None)


def test_upgrade_signs_no_user_out(old_browser: Client, account: User) -> None:
    key = old_browser.cookies["sessionid"].value
    response = old_browser.get(reverse("history"))
    assert response.context["user"] == account
    issued = response.cookies[settings.SESSION_COOKIE_NAME]
    assert issued.value == key
    assert issued["httponly"]
    assert issued["samesite"] == "Lax"
    assert issued["max-age"] == settings.SESSION_COOKIE_AGE
    drop_old_cookies(old_browser)
    assert old_browser.get("/api/v1/me").json()["user"] == "ann"
    assert not old_browser.get("/api/v1/me").cookies


def test_visitor_keeps_their_drawings_after_the_upgrade(old_browser: Client, media) -> None:
    old_browser.cookies.pop("sessionid")
    headers = {"X-CSRFToken": "k" * 32}  # as a page that was open during the upgrade sends it
    response = old_browser.post(SUBMISSIONS, {"strokes": SEVEN}, content_type="application/json", headers=headers)
    assert response.status_code == 202, response.content
    assert Submission.objects.get().visitor == VISITOR
    assert response.cookies[settings.VISITOR_COOKIE]["max-age"] == 365 * 24 * 3600
    assert response.cookies[settings.VISITOR_COOKIE]["httponly"]
    assert response.cookies[settings.CSRF_COOKIE_NAME].value == "k" * 32
    assert not response.cookies[settings.CSRF_COOKIE_NAME]["httponly"]
    drop_old_cookies(old_browser)
    listed = old_browser.get(SUBMISSIONS).json()["results"]
    assert [submission["id"] for submission in listed] == [response.json()["id"]]
    change = old_browser.delete(f"{SUBMISSIONS}/{response.json()['id']}", headers=headers)
    assert change.status_code == 204


def test_old_cookies_are_checked_against_forged_requests(old_browser: Client) -> None:
    for headers in ({}, {"X-CSRFToken": "m" * 32}):
        response = old_browser.post(SUBMISSIONS, {"strokes": SEVEN}, content_type="application/json", headers=headers)
        assert response.status_code == 403
    old_browser.cookies.pop("csrftoken")
    response = old_browser.post(SUBMISSIONS, {"strokes": SEVEN}, content_type="application/json")
    assert response.status_code == 403
    assert not Submission.objects.exists()


@pytest.mark.django_db
def test_old_cookies_of_another_site_are_ignored_and_not_deleted(media) -> None:
    browser = Client(HTTP_HOST="localhost")
    browser.cookies["sessionid"] = "q" * 32
    browser.cookies["visitor"] = signing.TimestampSigner(key="another key", salt="visitorrecognizer.visitor").sign("d")
    for address in (reverse("history"), "/api/v1/me", "/"):
        response = browser.get(address)
        assert not {"sessionid", "visitor", settings.SESSION_COOKIE_NAME} & set(response.cookies)
    assert browser.get("/api/v1/me").json()["user"] is None
    assert browser.cookies[settings.VISITOR_COOKIE].value.split(":")[0] not in ("", "d")
    assert not Session.objects.exists()


def test_signing_out_ends_the_session_of_the_old_cookie(old_browser: Client) -> None:
    old_browser.get("/")
    headers = {"X-CSRFToken": old_browser.cookies[settings.CSRF_COOKIE_NAME].value}
    assert old_browser.post(reverse("logout"), headers=headers).status_code == 302
    assert old_browser.cookies["sessionid"].value
    assert old_browser.get("/api/v1/me").json()["user"] is None


def test_current_cookies_take_precedence_over_old_ones(old_browser: Client) -> None:
    other = User.objects.create_user("bob")
    old_browser.force_login(other)
    response = old_browser.get("/api/v1/me")
    assert response.json()["user"] == "bob"
    assert settings.SESSION_COOKIE_NAME not in response.cookies


@pytest.mark.django_db
def test_names_of_all_cookies_contain_the_site_id(client: Client) -> None:
    settings_names = {settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME, settings.VISITOR_COOKIE}
    assert all(re.fullmatch(rf"[a-z]+_{settings.SITE_ID}", name) for name in settings_names)
    assert re.fullmatch("[0-9a-f]{12}", settings.SITE_ID)
    user = User.objects.create_user("ann")
    client.get("/")
    client.force_login(user)
    client.post(reverse("my-data-delete"), {})  # sets a message
    assert {name.rpartition("_")[2] for name in client.cookies} == {settings.SITE_ID}

"""Tests of the throttling of sign-in, sign-up and password mails."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from recognizer.models import Attempt
from recognizer.services.identity import login_throttle, users
from tests.support.people import client_of

pytestmark = pytest.mark.django_db

RIGHT, WRONG = "three grey cats 7", "two grey cats 7"


@pytest.fixture(autouse=True)
def ann(settings) -> User:
    settings.MAX_LOGIN_ATTEMPTS = 3
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return User.objects.create_user("ann", password=RIGHT)


def sign_in(password: str, *, name: str = "ann", address: str = "203.0.113.7"):
    return Client().post(reverse("login"), {"username": name, "password": password}, REMOTE_ADDR=address)


@pytest.mark.both_databases
def test_too_many_wrong_passwords_block_the_right_one():
    assert [sign_in(WRONG).status_code for _ in range(3)] == [200] * 3
    answer = sign_in(RIGHT)
    assert answer.status_code == 429
    assert 14 * 60 < int(answer["Retry-After"]) <= 15 * 60
    assert "Too many tries. Wait 15 minutes, then try again." in answer.content.decode()
    assert sign_in(RIGHT, address="203.0.113.8").status_code == 302


def test_login_works_again_after_waiting():
    for _ in range(5):
        sign_in(WRONG)
    Attempt.objects.update(created=timezone.now() - login_throttle.WINDOW)
    assert sign_in(RIGHT).status_code == 302


def test_right_password_resets_the_count():
    for _ in range(2):
        sign_in(WRONG)
    assert sign_in(RIGHT).status_code == 302
    assert [sign_in(WRONG).status_code for _ in range(3)] == [200] * 3


def test_unknown_account_is_throttled_like_a_known_one():
    assert [sign_in(WRONG, name="nobody").status_code for _ in range(4)] == [200, 200, 200, 429]


def test_throttle_ignores_the_case_of_the_name():
    answers = [sign_in(WRONG, name=name).status_code for name in ("ann", "Ann", "ANN", " ann ")]
    assert answers[-1] == 429


def test_one_address_cannot_try_many_accounts():
    answers = [sign_in(WRONG, name=f"name{number}").status_code for number in range(31)]
    assert answers == [200] * 30 + [429]


def test_many_addresses_cannot_try_one_account():
    answers = [sign_in(WRONG, address=f"203.0.113.{number}").status_code for number in range(16)]
    assert answers == [200] * 15 + [429]


def test_ipv6_addresses_of_one_network_are_counted_together():
    answers = [sign_in(WRONG, address=f"2001:db8:1:2::{number:x}").status_code for number in range(4)]
    assert answers == [200, 200, 200, 429]
    assert sign_in(WRONG, address="2001:db8:1:3::1").status_code == 200


def test_address_behind_a_proxy_is_the_one_that_the_proxy_added(settings):
    forged = {"username": "ann", "password": WRONG}
    for number in range(3):
        Client().post(reverse("login"), forged, REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR=f"1.2.3.{number}, 9.9.9.9")
    settings.BEHIND_PROXY = True
    for number in range(3):
        Client().post(reverse("login"), forged, REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR=f"1.2.3.{number}, 8.8.8.8")
    last = Client().post(reverse("login"), forged, REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR="1.2.3.9, 8.8.8.8")
    assert last.status_code == 429


def test_stored_attempts_are_anonymous_and_deleted_after_a_day():
    sign_in(WRONG)
    attempt = Attempt.objects.get()
    assert re.fullmatch("[0-9a-f]{32}", attempt.account)
    assert re.fullmatch("[0-9a-f]{32}", attempt.address)
    Attempt.objects.update(created=timezone.now() - timedelta(days=2))
    sign_in(WRONG)
    assert Attempt.objects.count() == 1


def test_admin_has_no_login_form_of_its_own(operator, reviewer):
    answer = Client().get("/admin/")
    assert answer.status_code == 302
    answer = Client().get(answer.url)
    assert answer.url.startswith(reverse("login"))
    assert Client().post("/admin/login/", {"username": "ann", "password": RIGHT}).status_code == 405
    assert client_of(reviewer).get("/admin/", follow=True).status_code == 403
    User.objects.filter(pk=operator.user.pk).update(is_staff=True)
    assert client_of(operator).get("/admin/").status_code == 200


def test_sign_up_is_throttled(monkeypatch):
    monkeypatch.setattr(login_throttle, "SIGN_UPS", 2)
    for number, status in ((1, 302), (2, 302), (3, 429)):
        form = {"username": f"new{number}", "password1": RIGHT, "password2": RIGHT}
        answer = Client().post(reverse("sign-up"), form)
        assert answer.status_code == status
    assert int(answer["Retry-After"]) > 0
    assert not User.objects.filter(username="new3").exists()


def test_password_mails_are_throttled(settings):
    settings.SENDS_MAIL = True
    User.objects.filter(username="ann").update(email="ann@example.org")
    answers = [Client().post(reverse("password_reset"), {"email": "ann@example.org"}).status_code for _ in range(5)]
    assert answers == [302, 302, 302, 429, 429]
    assert len(mail.outbox) == 3


def test_name_that_differs_only_in_case_is_taken(operator):
    with pytest.raises(ValueError, match="There is an account ann already"):
        users.add_user(actor=operator, name="Ann", role="reviewer")
    assert users.make_operator("ANN").username == "ann"
    assert User.objects.filter(username__iexact="ann").count() == 1
    form = {"username": "Ann", "password1": RIGHT, "password2": RIGHT}
    assert Client().post(reverse("sign-up"), form).status_code == 422

"""Guessing passwords, making accounts and asking for mail: as often as a person would, and not more."""

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
def test_after_so_many_wrong_passwords_even_the_right_one_must_wait():
    assert [sign_in(WRONG).status_code for _ in range(3)] == [200] * 3
    answer = sign_in(RIGHT)
    assert answer.status_code == 429
    assert 14 * 60 < int(answer["Retry-After"]) <= 15 * 60
    assert "Too many tries. Wait 15 minutes, then try again." in answer.content.decode()
    assert sign_in(RIGHT, address="203.0.113.8").status_code == 302


def test_waiting_is_enough():
    for _ in range(5):
        sign_in(WRONG)
    Attempt.objects.update(created=timezone.now() - login_throttle.WINDOW)
    assert sign_in(RIGHT).status_code == 302


def test_the_right_password_makes_the_wrong_ones_before_it_forgotten():
    for _ in range(2):
        sign_in(WRONG)
    assert sign_in(RIGHT).status_code == 302
    assert [sign_in(WRONG).status_code for _ in range(3)] == [200] * 3


def test_an_account_that_is_not_there_is_counted_like_one_that_is():
    assert [sign_in(WRONG, name="nobody").status_code for _ in range(4)] == [200, 200, 200, 429]


def test_a_name_in_capitals_is_the_same_name():
    answers = [sign_in(WRONG, name=name).status_code for name in ("ann", "Ann", "ANN", " ann ")]
    assert answers[-1] == 429


def test_one_address_cannot_go_through_all_accounts():
    answers = [sign_in(WRONG, name=f"name{number}").status_code for number in range(31)]
    assert answers == [200] * 30 + [429]


def test_many_addresses_cannot_go_on_with_one_account():
    answers = [sign_in(WRONG, address=f"203.0.113.{number}").status_code for number in range(16)]
    assert answers == [200] * 15 + [429]


def test_one_home_has_many_addresses_of_ipv6():
    answers = [sign_in(WRONG, address=f"2001:db8:1:2::{number:x}").status_code for number in range(4)]
    assert answers == [200, 200, 200, 429]
    assert sign_in(WRONG, address="2001:db8:1:3::1").status_code == 200


def test_behind_a_proxy_the_address_is_the_last_one_that_the_proxy_saw(settings):
    forged = {"username": "ann", "password": WRONG}
    for number in range(3):
        Client().post(reverse("login"), forged, REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR=f"1.2.3.{number}, 9.9.9.9")
    settings.BEHIND_PROXY = True
    for number in range(3):
        Client().post(reverse("login"), forged, REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR=f"1.2.3.{number}, 8.8.8.8")
    last = Client().post(reverse("login"), forged, REMOTE_ADDR="10.0.0.1", HTTP_X_FORWARDED_FOR="1.2.3.9, 8.8.8.8")
    assert last.status_code == 429


def test_what_is_kept_names_nobody_and_goes_after_a_day():
    sign_in(WRONG)
    kept = Attempt.objects.get()
    assert re.fullmatch("[0-9a-f]{32}", kept.account)
    assert re.fullmatch("[0-9a-f]{32}", kept.address)
    Attempt.objects.update(created=timezone.now() - timedelta(days=2))
    sign_in(WRONG)
    assert Attempt.objects.count() == 1


def test_the_admin_pages_have_no_second_way_in(operator, reviewer):
    answer = Client().get("/admin/")
    assert answer.status_code == 302
    answer = Client().get(answer.url)
    assert answer.url.startswith(reverse("login"))
    assert Client().post("/admin/login/", {"username": "ann", "password": RIGHT}).status_code == 405
    assert client_of(reviewer).get("/admin/", follow=True).status_code == 403
    User.objects.filter(pk=operator.user.pk).update(is_staff=True)
    assert client_of(operator).get("/admin/").status_code == 200


def test_accounts_are_not_made_by_the_thousand(monkeypatch):
    monkeypatch.setattr(login_throttle, "SIGN_UPS", 2)
    for number, status in ((1, 302), (2, 302), (3, 429)):
        form = {"username": f"new{number}", "password1": RIGHT, "password2": RIGHT}
        answer = Client().post(reverse("sign-up"), form)
        assert answer.status_code == status
    assert int(answer["Retry-After"]) > 0
    assert not User.objects.filter(username="new3").exists()


def test_nobodys_mailbox_is_filled(settings):
    settings.SENDS_MAIL = True
    User.objects.filter(username="ann").update(email="ann@example.org")
    answers = [Client().post(reverse("password_reset"), {"email": "ann@example.org"}).status_code for _ in range(5)]
    assert answers == [302, 302, 302, 429, 429]
    assert len(mail.outbox) == 3


def test_a_name_that_differs_in_capitals_alone_is_taken(operator):
    with pytest.raises(ValueError, match="There is an account ann already"):
        users.add_user(actor=operator, name="Ann", role="reviewer")
    assert users.make_operator("ANN").username == "ann"
    assert User.objects.filter(username__iexact="ann").count() == 1
    form = {"username": "Ann", "password1": RIGHT, "password2": RIGHT}
    assert Client().post(reverse("sign-up"), form).status_code == 422

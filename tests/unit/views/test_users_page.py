"""Tests of sign-up, roles, one-time links and password mails."""

import re

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from django.urls import reverse

from recognizer.services.identity import users
from tests.support.people import client_of

pytestmark = pytest.mark.django_db

GOOD = {"username": "ann", "password1": "three grey cats 7", "password2": "three grey cats 7"}


def test_sign_up_creates_an_account_and_signs_in(client):
    assert "Make one" in client.get(reverse("login")).content.decode()
    assert client.post(reverse("sign-up"), GOOD).status_code == 302
    assert "Signed in as" in client.get("/").content.decode()
    assert users.role_of(User.objects.get(username="ann")) == "visitor"


def test_weak_password_creates_no_account(client):
    answer = client.post(reverse("sign-up"), GOOD | {"password1": "12345", "password2": "12345"})
    assert answer.status_code == 422
    assert not User.objects.exists()


def test_sign_up_can_be_switched_off(client, settings, monkeypatch):
    settings.SIGN_UP = False
    assert client.get(reverse("sign-up")).status_code == client.post(reverse("sign-up"), GOOD).status_code == 404
    assert not User.objects.exists()


def test_an_operator_adds_a_reviewer_whose_link_works_once(operator, reviewer):
    operating = client_of(operator)
    page = operating.post(reverse("people-add"), {"name": "rosa", "role": "reviewer"})
    path = re.search(r"http://localhost(/account/sign-in/[^\"]+)", page.content.decode())[1]
    rosa = Client()
    rosa.post(path)
    assert rosa.get(reverse("review")).status_code == 200
    assert Client().post(path).status_code == 410
    assert users.role_of(User.objects.get(username="rosa")) == "reviewer"


def test_operator_creates_a_link_for_a_user_without_password(operator):
    forgetful = User.objects.create_user("fred", password="forgotten 123")
    page = client_of(operator).post(reverse("people-link", args=[forgetful.pk]))
    assert f"Signs {forgetful.username} in, once" in page.content.decode()


def test_operator_changes_roles(operator, reviewer):
    operating, reviewing = client_of(operator), client_of(reviewer)
    for role, status in (("visitor", 403), ("reviewer", 200), ("operator", 200)):
        operating.post(reverse("people-role", args=[reviewer.user.pk]), {"role": role})
        assert reviewing.get(reverse("review")).status_code == status
    operating.post(reverse("people-role", args=[reviewer.user.pk]), {"role": "emperor"})
    assert users.role_of(User.objects.get(pk=reviewer.user.pk)) == "operator"


def test_operator_cannot_demote_themselves_or_a_superuser_or_sign_in_as_one(operator):
    root = User.objects.create_superuser("root")
    operating = client_of(operator)
    for user in (operator.user, root):
        operating.post(reverse("people-role", args=[user.pk]), {"role": "visitor"})
        assert users.role_of(User.objects.get(pk=user.pk)) == "operator"
    page = operating.post(reverse("people-link", args=[root.pk]))
    assert "Only a superuser" in page.content.decode()
    assert "/account/sign-in/" not in page.content.decode()


@pytest.mark.parametrize("name", ["", "rita", "with space", "x" * 200])
def test_invalid_name_creates_no_account(operator, reviewer, name):
    before = User.objects.count()
    assert client_of(operator).post(reverse("people-add"), {"name": name}).status_code == 422
    assert User.objects.count() == before


def test_only_operators_manage_accounts(reviewer, clients_without_queue):
    for client in (client_of(reviewer), *clients_without_queue):
        assert client.get(reverse("people")).status_code == 403
        assert client.post(reverse("people-add"), {"name": "eve"}).status_code == 403
        for name in ("people-link", "people-role"):
            address = reverse(name, args=[reviewer.user.pk])
            assert client.post(address, {"role": "operator"}).status_code == 403
    assert users.role_of(User.objects.get(pk=reviewer.user.pk)) == "reviewer"


def test_site_without_mail_has_no_password_reset_page(client):
    assert client.get(reverse("password_reset")).status_code == 404
    assert "Forgot your password" not in client.get(reverse("login")).content.decode()


def test_with_mail_a_new_password_is_set_by_a_link(client, settings):
    settings.SENDS_MAIL = True
    User.objects.create_user("ann", "ann@example.org", "forgotten 123")
    assert client.post(reverse("password_reset"), {"email": "ann@example.org"}).status_code == 302
    [letter] = mail.outbox
    path = re.search(rf"{settings.SITE_URL}(/\S+)", letter.body)[1]
    form = client.get(path, follow=True)
    new = {"new_password1": "three grey cats 7", "new_password2": "three grey cats 7"}
    client.post(form.request["PATH_INFO"], new)
    assert Client().login(username="ann", password="three grey cats 7")
    assert "does not work any more" in client.get(path, follow=True).content.decode()


def test_accounts_are_paginated_and_can_be_searched(operator):
    User.objects.bulk_create(User(username=f"person{number:03}") for number in range(60))
    operating = client_of(operator)
    page = operating.get(reverse("people")).content.decode()
    assert page.count("One-time link") == 50
    assert "person059" in page
    assert "person009" not in page
    older = re.search(r'href="(\?cursor=[^"]+)"\s+rel="next"', page)[1]
    assert operating.get(reverse("people") + older).content.decode().count("One-time link") == 11
    page = operating.get(reverse("people"), {"name": "SON00"}).content.decode()
    assert page.count("One-time link") == 10
    assert "No account has a name like this" in operating.get(reverse("people"), {"name": "zz"}).content.decode()
    assert operating.get(reverse("people"), {"cursor": "nonsense"}).url == reverse("people")

"""Tests of signing in and out, one-time links and passwords."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from recognizer.services.identity import users
from recognizer.services.identity.actors import Actor

pytestmark = pytest.mark.django_db

PASSWORD = "a-long-enough-phrase"


@pytest.fixture
def otto() -> User:
    return users.make_operator("otto")


def signed_in_name(client: Client) -> str:
    return client.get(reverse("login"), follow=True).context["user"].get_username()


def test_opening_a_sign_in_link_shows_a_button_and_does_not_use_the_link_up(client: Client, otto: User) -> None:
    link = users.sign_in_link(otto)
    for _ in range(2):
        response = client.get(link)
        assert "Sign in as otto" in response.content.decode()
        assert "no-store" in response["Cache-Control"]
    assert signed_in_name(client) == ""


def test_sign_in_link_works_once_and_offers_to_set_a_password(client: Client, otto: User) -> None:
    link = users.sign_in_link(otto)
    response = client.post(link, follow=True)
    assert response.redirect_chain[-1][0] == reverse("password_change")
    text = response.content.decode()
    assert "Set a password" in text
    assert "old_password" not in text
    assert signed_in_name(client) == "otto"
    again = Client().post(link)
    assert again.status_code == 410
    assert "This link does not work any more" in again.content.decode()


def test_the_first_password_is_set_without_an_old_one_and_then_works(client: Client, otto: User) -> None:
    client.post(users.sign_in_link(otto))
    response = client.post(
        reverse("password_change"), {"new_password1": PASSWORD, "new_password2": PASSWORD}, follow=True
    )
    assert "Your password is set." in response.content.decode()
    assert signed_in_name(client) == "otto"
    other = Client()
    other.post(reverse("login"), {"username": "otto", "password": PASSWORD})
    assert signed_in_name(other) == "otto"


def test_changing_a_password_needs_the_old_one(client: Client, otto: User) -> None:
    otto.set_password(PASSWORD)
    otto.save()
    client.force_login(otto)
    assert "old_password" in client.get(reverse("password_change")).content.decode()
    response = client.post(reverse("password_change"), {"new_password1": "x" * 12, "new_password2": "x" * 12})
    assert response.status_code == 200
    assert User.objects.get().check_password(PASSWORD)


def test_user_with_password_is_redirected_to_draw_after_a_link(client: Client, otto: User) -> None:
    otto.set_password(PASSWORD)
    otto.save()
    assert client.post(users.sign_in_link(otto)).url == reverse("draw")


@pytest.mark.parametrize("token", ["nonsense", "abc-def"])
def test_invalid_link_shows_what_to_do(client: Client, otto: User, token: str) -> None:
    address = reverse("sign-in", args=["MQ", token])
    for response in (client.get(address), client.post(address)):
        assert response.status_code == 410
        assert "Ask an operator of this site" in response.content.decode()


def test_wrong_password_shows_an_error(client: Client, otto: User) -> None:
    response = client.post(reverse("login"), {"username": "otto", "password": "wrong"})
    assert "correct username and password" in response.content.decode()


def test_sign_in_does_not_redirect_to_another_site(client: Client, otto: User) -> None:
    otto.set_password(PASSWORD)
    otto.save()
    form = {"username": "otto", "password": PASSWORD, "next": "https://elsewhere.example/"}
    assert client.post(reverse("login"), form).url == reverse("draw")


def test_signing_out_needs_a_post(reviewer_client: Client, reviewer: Actor) -> None:
    assert "rita" in reviewer_client.get("/").content.decode()
    assert reviewer_client.get(reverse("logout")).status_code == 405
    reviewer_client.post(reverse("logout"))
    assert "rita" not in reviewer_client.get("/").content.decode()


def test_password_page_requires_signing_in(client: Client) -> None:
    assert client.get(reverse("password_change")).url.startswith(reverse("login"))

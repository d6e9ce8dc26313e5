"""Account names: uniqueness of names that look the same, on both databases; and the site's URL in mailed links."""

import re
from importlib import import_module
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core import mail
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from digitsite import checks, env
from recognizer.models import AccountName
from recognizer.services.identity import account_names, users
from tests.support.settings import import_settings

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

PASSWORD = "three grey cats 7"
# Pairs that look the same: capitals, full width, a ligature, a precomposed accent, the sharp s.
EQUIVALENT_NAMES = [
    ("ann", "ANN"),
    ("ann", "ａｎｎ"),
    ("ofﬁce", "OFFICE"),
    ("Andr\u00e9", "ANDRE\u0301"),
    ("straße", "STRASSE"),
    ("Ärger", "ärger"),
]


@pytest.fixture(autouse=True)
def quick_hasher(settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def sign_up(name: str):
    return Client().post(reverse("sign-up"), {"username": name, "password1": PASSWORD, "password2": PASSWORD})


@pytest.mark.parametrize(("first", "second"), EQUIVALENT_NAMES)
def test_names_that_look_the_same_are_one_account(first: str, second: str) -> None:
    assert sign_up(first).status_code == 302
    response = sign_up(second)
    assert response.status_code == 422
    assert "There is an account" in response.content.decode()
    response = Client().post(reverse("login"), {"username": second, "password": PASSWORD})
    assert response.status_code == 302
    assert users.make_operator(second).username == User.objects.get().username


@pytest.mark.parametrize(("first", "second"), EQUIVALENT_NAMES)
def test_database_rejects_a_second_name_with_the_same_key(first: str, second: str) -> None:
    User.objects.create(username=first)
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create(username=second)
    assert User.objects.count() == AccountName.objects.count() == 1


@pytest.mark.parametrize("name", ["p\u0430ypal", "αnn", "ann\u0967", "иvan", "ann\u0585"])
def test_name_that_mixes_alphabets_is_rejected_with_a_message(name: str) -> None:
    response = sign_up(name)
    assert response.status_code == 422
    assert "use one alphabet" in response.content.decode()
    assert not User.objects.exists()


@pytest.mark.parametrize("name", ["ann_7", "иван", "Ελένη2", "小明ann", "山田たろうタロ", "김ann3", "o.b@x+1", "محمد"])
def test_names_of_one_alphabet_are_accepted(name: str) -> None:
    assert account_names.check(name) == name
    assert sign_up(name).status_code == 302


def test_renamed_account_claims_its_new_name_and_frees_the_old_one() -> None:
    user = User.objects.create(username="ann")
    user.username = "Bea"
    user.save()
    assert account_names.find("BEA") == user
    assert User.objects.create(username="ANN").pk
    user.delete()
    assert User.objects.create(username="bea").pk


def test_accounts_whose_names_look_the_same_survive_the_upgrade() -> None:
    ann, capital, other = (User.objects.create(username=name) for name in ("ann", "x", "bob"))
    User.objects.filter(pk=capital.pk).update(username="ANN")  # possible in the previous release
    AccountName.objects.all().delete()
    migration = import_module("recognizer.migrations.0013_account_names_and_sessions")
    migration.give_keys(apps, None)
    assert account_names.find("ann") == ann
    assert account_names.find("ANN") == capital
    assert account_names.find("Ann") == ann
    assert account_names.find("BOB") == other
    capital.refresh_from_db()
    capital.save()  # later changes of the account still succeed
    assert AccountName.objects.count() == 3


def test_link_in_a_mail_does_not_depend_on_the_host_header(settings) -> None:
    """It used to contain the port of the header: ALLOWED_HOSTS checks the name only."""
    settings.SENDS_MAIL = True
    settings.ALLOWED_HOSTS = [".example.org"]
    settings.SITE_URL = "https://digits.example.org"
    User.objects.create_user("ann", "ann@example.org", PASSWORD)
    for host in ("digits.example.org:1234", "evil.example.org", "digits.example.org"):
        Client().post(reverse("password_reset"), {"email": "ann@example.org"}, HTTP_HOST=host)
    links = [re.search(r"\S+://\S+?/", message.body)[0] for message in mail.outbox]
    assert links == ["https://digits.example.org/"] * 3
    assert not any("1234" in message.body or "evil" in message.body for message in mail.outbox)


@pytest.mark.parametrize(
    ("hosts", "options", "address"),
    [
        ("localhost", {}, "http://localhost:8000"),
        ("localhost,digits.example.org", {"HTTPS": "1"}, "https://digits.example.org"),
        ("digits.example.org", {"BEHIND_PROXY": "1"}, "http://digits.example.org"),
        (".example.org", {"HTTPS": "1"}, "https://example.org"),
    ],
)
def test_site_url_is_derived_from_other_settings(
    hosts: str, options: dict, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SITE_URL", "PORT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTPS", "BEHIND_PROXY"):
        monkeypatch.setenv(name, options.get(name, "0"))
    monkeypatch.setenv("ALLOWED_HOSTS", hosts)
    assert import_settings(monkeypatch)["SITE_URL"] == address


@pytest.mark.parametrize(
    "value", ["digits.example.org", "ftp://a", "https://a/b", "https://u@a", "https://a:x", "https://"]
)
def test_invalid_site_url_prevents_the_start(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITE_URL", value)
    assert [error.split()[0] for error in env.find_errors()] == ["SITE_URL"]


def test_mail_without_a_site_url_prevents_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SITE_URL", raising=False)
    for name, value in {"ALLOWED_HOSTS": ".example.org", "HTTPS": "1", "EMAIL_URL": "smtp://mail.example.org"}.items():
        monkeypatch.setenv(name, value)
    (error,) = checks.find_errors(SimpleNamespace(**import_settings(monkeypatch)))
    assert "set SITE_URL" in error

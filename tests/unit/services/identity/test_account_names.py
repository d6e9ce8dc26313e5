"""Names of accounts: one for each eye, on both databases; and where mailed links lead."""

import re
from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from digitsite import env
from recognizer.models import AccountName
from recognizer.services.identity import account_names, users

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

PASSWORD = "three grey cats 7"
# The same to the eye: capitals, full width, a ligature, a precomposed accent, the sharp s.
SAME = [
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


@pytest.mark.parametrize(("first", "second"), SAME)
def test_names_that_look_alike_are_one(first: str, second: str) -> None:
    assert sign_up(first).status_code == 302
    refused = sign_up(second)
    assert refused.status_code == 422
    assert "There is an account" in refused.content.decode()
    answer = Client().post(reverse("login"), {"username": second, "password": PASSWORD})
    assert answer.status_code == 302
    assert users.make_operator(second).username == User.objects.get().username


@pytest.mark.parametrize(("first", "second"), SAME)
def test_the_database_itself_refuses_a_second_one(first: str, second: str) -> None:
    User.objects.create(username=first)
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create(username=second)
    assert User.objects.count() == AccountName.objects.count() == 1


@pytest.mark.parametrize("name", ["p\u0430ypal", "αnn", "ann\u0967", "иvan", "ann\u0585"])
def test_a_name_of_two_alphabets_is_refused_in_words(name: str) -> None:
    refused = sign_up(name)
    assert refused.status_code == 422
    assert "use one alphabet" in refused.content.decode()
    assert not User.objects.exists()


@pytest.mark.parametrize("name", ["ann_7", "иван", "Ελένη2", "小明ann", "山田たろうタロ", "김ann3", "o.b@x+1", "محمد"])
def test_names_of_one_alphabet_are_taken(name: str) -> None:
    assert account_names.check(name) == name
    assert sign_up(name).status_code == 302


def test_a_renamed_account_takes_its_new_name_and_frees_the_old_one() -> None:
    user = User.objects.create(username="ann")
    user.username = "Bea"
    user.save()
    assert account_names.find("BEA") == user
    assert User.objects.create(username="ANN").pk
    user.delete()
    assert User.objects.create(username="bea").pk


def test_accounts_that_look_alike_survive_the_upgrade() -> None:
    ann, capital, other = (User.objects.create(username=name) for name in ("ann", "x", "bob"))
    User.objects.filter(pk=capital.pk).update(username="ANN")  # as the previous release let them be made
    AccountName.objects.all().delete()
    migration = import_module("recognizer.migrations.0013_account_names_and_sessions")
    migration.give_keys(apps, None)
    assert account_names.find("ann") == ann
    assert account_names.find("ANN") == capital
    assert account_names.find("Ann") == ann
    assert account_names.find("BOB") == other
    capital.refresh_from_db()
    capital.save()  # every later change of it goes through
    assert AccountName.objects.count() == 3


def test_the_link_of_a_mail_never_leads_where_a_request_says(settings) -> None:
    """A foreign port stood in it: ALLOWED_HOSTS looks at the name alone."""
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
        (["localhost"], {}, "http://localhost:8000"),
        (["localhost", "digits.example.org"], {"https": True}, "https://digits.example.org"),
        (["digits.example.org"], {"behind_proxy": True}, "http://digits.example.org"),
        ([".example.org"], {"https": True}, "https://example.org"),
    ],
)
def test_the_sites_own_address_follows_from_other_settings(
    hosts: list[str], options: dict, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SITE_URL", "PORT"):
        monkeypatch.delenv(name, raising=False)
    given = {"https": False, "behind_proxy": False, "needed": False} | options
    assert env.site_url("SITE_URL", hosts=hosts, **given) == address


@pytest.mark.parametrize(
    "value", ["digits.example.org", "ftp://a", "https://a/b", "https://u@a", "https://a:x", "https://"]
)
def test_an_address_that_is_none_stops_the_start(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITE_URL", value)
    with pytest.raises(ImproperlyConfigured, match="SITE_URL"):
        env.site_url("SITE_URL", hosts=["a"], https=False, behind_proxy=False, needed=False)


def test_mail_without_an_address_to_lead_to_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SITE_URL", raising=False)
    with pytest.raises(ImproperlyConfigured, match="set SITE_URL"):
        env.site_url("SITE_URL", hosts=[".example.org"], https=True, behind_proxy=False, needed=True)

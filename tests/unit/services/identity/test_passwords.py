"""Limits of every call that hashes a password, right or wrong, and sessions and tokens after a password change."""

import ast
import threading
from pathlib import Path

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.auth.models import User
from django.contrib.auth.tokens import default_token_generator
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from digitsite.testing.site import BASE_DIR
from recognizer.models import AccountSession, Token
from recognizer.services.identity import login_throttle, passwords, sessions, tokens
from recognizer.services.identity.actors import Actor
from recognizer.services.lib.errors import BusyError
from tests.support.people import client_of

pytestmark = pytest.mark.django_db

RIGHT, WRONG = "three grey cats 7", "two grey cats 7"

# Each call in the code that hashes a password, and the limit that applies to it.
CALLS = {
    ("recognizer/services/identity/passwords.py", "authenticate", "find_by_password"): "Kind.SIGN_IN",
    ("recognizer/services/identity/passwords.py", "sign_up", "set_password"): "Kind.SIGN_UP",
    ("recognizer/services/identity/passwords.py", "change", "check_password"): "Kind.PASSWORD",
    ("recognizer/services/identity/passwords.py", "change", "set_password"): "Kind.PASSWORD",
}
HASHING = {
    *("check_password", "acheck_password", "set_password", "make_password", "aauthenticate"),
    *("create_user", "create_superuser", "set_password_and_save", "harden_runtime", "find_by_password"),
}
# Forms and views of Django that hash by themselves; only the first is used, for its fields, and never saved.
HASHING_FORMS = {"UserCreationForm", "BaseUserCreationForm", "AdminUserCreationForm", "PasswordChangeForm"}
HASHING_FORMS |= {"AdminPasswordChangeForm", "PasswordChangeView", "UserAdmin"}


class CountingHasher(MD5PasswordHasher):
    """Hasher that counts how often a password was hashed."""

    count = 0

    def encode(self, password: str, salt: str) -> str:
        type(self).count += 1
        return super().encode(password, salt)


@pytest.fixture(autouse=True)
def ann(settings) -> User:
    settings.MAX_LOGIN_ATTEMPTS = 3
    settings.PASSWORD_HASHERS = [f"{__name__}.CountingHasher"]
    user = User.objects.create_user("ann", "ann@example.org", RIGHT)
    CountingHasher.count = 0
    return user


def test_every_call_that_hashes_a_password_is_listed_and_limited() -> None:
    calls, limits = set(), {}
    for folder in ("recognizer", "digitsite"):
        for path in Path(BASE_DIR, folder).rglob("*.py"):
            for function in ast.walk(ast.parse(path.read_text())):
                if not isinstance(function, ast.FunctionDef) or "testing" in path.parts:
                    continue
                function_key = str(path.relative_to(BASE_DIR)), function.name
                for call in ast.walk(function):
                    match call:
                        case ast.Call(ast.Attribute(attr=name) | ast.Name(id=name)) if name in HASHING:
                            calls.add((*function_key, name))
                        case ast.Call(ast.Attribute(ast.Name("login_throttle"), "record_attempt"), [kind, *_]):
                            limits[function_key] = ast.unparse(kind)
    assert calls == set(CALLS), "Add each new call to CALLS, with its limit."
    assert {(file, function): limit for (file, function, _), limit in CALLS.items()}.items() <= limits.items()


def test_no_other_code_uses_djangos_authenticate_or_forms_that_hash() -> None:
    users = {name: set() for name in ("authenticate", *HASHING_FORMS)}
    for path in Path(BASE_DIR, "recognizer").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("django.contrib.auth"):
                for alias in node.names:
                    users.get(alias.name, set()).add(path.name)
    used = {name: files for name, files in users.items() if files}
    assert used == {"authenticate": {"passwords.py"}, "UserCreationForm": {"forms.py"}, "UserAdmin": {"admin.py"}}
    assert Client().get("/admin/auth/user/1/password/").status_code in (302, 404)


def test_successful_sign_ins_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes 0.4 s of CPU time and a session row, and used to be unlimited."""
    monkeypatch.setattr(login_throttle, "SIGN_INS_FOR_ONE_ACCOUNT", 5)
    responses = [sign_in(RIGHT, address=f"203.0.113.{number}") for number in range(8)]
    assert [response.status_code for response in responses] == [302] * 5 + [429] * 3
    assert int(responses[-1]["Retry-After"]) > 0
    assert CountingHasher.count == 5
    assert Session.objects.count() == 5


def test_successful_sign_ins_from_one_address_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_throttle, "SIGN_INS_FROM_ONE_ADDRESS", 4)
    for name in "bc":
        User.objects.create_user(name, password=RIGHT)
    names = ("ann", "b", "c", "ann", "b")
    assert [sign_in(RIGHT, name=name).status_code for name in names] == [302] * 4 + [429]


def test_class_of_thirty_can_sign_in_from_one_address(settings) -> None:
    settings.MAX_LOGIN_ATTEMPTS = 10
    for number in range(30):
        User.objects.create_user(f"pupil{number}", password=RIGHT)
    for number in range(30):
        assert sign_in(WRONG, name=f"pupil{number}").status_code == 200
        assert sign_in(RIGHT, name=f"pupil{number}").status_code == 302


def sign_in(password: str, *, name: str = "ann", address: str = "203.0.113.7"):
    return Client().post(reverse("login"), {"username": name, "password": password}, REMOTE_ADDR=address)


def change(client: Client, old: str, new: str = "four grey cats 8", **fields: str):
    form = {"old_password": old, "new_password1": new, "new_password2": new}
    return client.post(reverse("password_change"), form | fields)


@pytest.mark.both_databases
def test_old_password_cannot_be_guessed_on_the_password_change_page(ann: User) -> None:
    client = client_of(Actor(user=ann))
    responses = [change(client, f"{WRONG}{number}") for number in range(5)]
    assert [response.status_code for response in responses] == [200] * 3 + [429] * 2
    assert "This is not your password until now." in responses[0].content.decode()
    assert "Too many tries" in responses[-1].content.decode()
    assert int(responses[-1]["Retry-After"]) > 0
    assert CountingHasher.count == 3
    assert change(client, RIGHT).status_code == 429
    ann.refresh_from_db()
    assert ann.check_password(RIGHT)


def test_password_changes_by_mailed_link_are_limited(ann: User, settings) -> None:
    settings.SENDS_MAIL = True
    for number in range(5):
        ann.refresh_from_db()
        client = Client()
        uid, token = urlsafe_base64_encode(force_bytes(ann.pk)), default_token_generator.make_token(ann)
        page = client.get(reverse("password_reset_confirm", args=[uid, token]))
        new = f"four grey cats {number}"
        response = client.post(page.url, {"new_password1": new, "new_password2": new})
        assert response.status_code == (302 if number < 3 else 429)
    ann.refresh_from_db()
    assert ann.check_password("four grey cats 2")
    assert not client.get(reverse("draw")).context["user"].is_authenticated


def test_concurrent_password_hashes_are_bounded_with_a_share_per_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "WAIT_SECONDS", 0.01)
    is_hashing, may_finish = threading.Event(), threading.Event()

    def hold() -> None:
        with passwords._hashing(Actor(address="203.0.113.7")):
            is_hashing.set()
            may_finish.wait(10)

    holders = [threading.Thread(target=hold) for _ in range(passwords._slots.capacity + 1)]
    holders[0].start()
    assert is_hashing.wait(10)
    try:
        with pytest.raises(BusyError), passwords._hashing(Actor(address="203.0.113.7")):  # its share is used up
            pass
        with passwords._hashing(Actor(address="203.0.113.8")):  # other callers still get a slot
            pass
    finally:
        may_finish.set()
        holders[0].join()


def test_password_change_revokes_tokens_unless_the_form_keeps_them(ann: User) -> None:
    actor, client = Actor(user=ann), client_of(Actor(user=ann))
    for name in ("scanner", "script"):
        tokens.create(actor=actor, name=name, scopes=["read"])
    assert "Keep my 2 tokens working" in client.get(reverse("password_change")).content.decode()
    assert change(client, RIGHT, keep_tokens="on").status_code == 302
    assert Token.objects.count() == 2
    response = change(client, "four grey cats 8", "five grey cats 9")
    assert response.status_code == 302
    assert not Token.objects.exists()
    assert "your 2 tokens have ended" in client.get(response.url).content.decode()
    assert "keep_tokens" not in client.get(reverse("password_change")).content.decode()


def test_password_change_ends_the_other_sessions_and_deletes_their_rows(ann: User) -> None:
    client, other = client_of(Actor(user=ann)), client_of(Actor(user=ann))
    assert change(client, RIGHT).status_code == 302
    assert client.get("/").context["user"].is_authenticated
    assert not other.get("/").context["user"].is_authenticated
    assert Session.objects.count() == AccountSession.objects.count() == 1


def test_oldest_sessions_of_an_account_end_above_the_maximum(ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_SESSIONS", 3)
    clients = [client_of(Actor(user=ann)) for _ in range(5)]
    signed_in = [client.get("/").context["user"].is_authenticated for client in clients]
    assert signed_in == [False, False, True, True, True]
    assert Session.objects.count() == AccountSession.objects.count() == 3


def test_records_of_ended_sessions_are_deleted(ann: User) -> None:
    client_of(Actor(user=ann)).post(reverse("logout"))
    client_of(Actor(user=ann))
    assert sessions.delete_expired() == 1
    assert AccountSession.objects.count() == 1

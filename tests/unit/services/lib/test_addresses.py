"""Keys under which callers are counted, by address and by actor."""

import pytest
from django.contrib.auth.models import User

from recognizer.models import Scope
from recognizer.services.identity.actors import SYSTEM_ACTOR, Actor
from recognizer.services.lib.addresses import UNKNOWN_NETWORK, is_loopback, rate_key

pytestmark = [pytest.mark.sqlite_only]


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("127.0.0.2", "127.0.0.2"),
        ("::1", "::/64"),
        ("", UNKNOWN_NETWORK),
        ("unix:", UNKNOWN_NETWORK),
        ("192.0.2.7:80", UNKNOWN_NETWORK),
        ("x" * 10_000, UNKNOWN_NETWORK),
    ],
)
def test_addresses_of_one_customer_have_one_key(address: str, key: str):
    assert rate_key(address) == key
    assert Actor(address=address).caller_key == f"network:{key}"


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.9", True), ("::1", True), ("::ffff:127.0.0.1", True), ("192.0.2.7", False), ("", False), ("no", False)],
)
def test_loopback_is_recognised_in_every_form(address: str, expected: bool):
    assert is_loopback(address) is expected


def test_account_has_one_caller_key_for_sessions_and_tokens_from_any_address():
    user = User(pk=7)
    by_session = Actor(user=user, address="192.0.2.7")
    by_token = Actor(user=user, scopes=frozenset({Scope.SUBMIT}), address="2001:db8::1")
    assert by_session.caller_key == by_token.caller_key == "account:7"


def test_caller_key_does_not_depend_on_the_visitor_cookie():
    assert Actor(visitor="a", address="192.0.2.7").caller_key == Actor(visitor="b", address="192.0.2.7").caller_key


def test_management_commands_have_their_own_caller_key():
    assert SYSTEM_ACTOR.caller_key not in {Actor().caller_key, Actor(address="127.0.0.1").caller_key}

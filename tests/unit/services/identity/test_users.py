"""Operators and one-time sign-in links."""

from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User

from recognizer.services.identity import users
from recognizer.services.identity.actors import Actor

pytestmark = pytest.mark.django_db

NOBODY = Actor()


def parts_of(link: str) -> tuple[str, str]:
    uid, token = link.strip("/").split("/")[-2:]
    return uid, token


def test_an_operator_can_review_operate_and_open_the_admin_pages() -> None:
    user = User.objects.get(pk=users.make_operator("olga").pk)
    actor = Actor(user=user)
    assert actor.is_operator
    assert actor.is_reviewer
    assert user.is_staff
    assert not user.is_superuser
    assert not user.has_usable_password()


def test_making_an_operator_of_an_account_keeps_its_password() -> None:
    User.objects.create_user("olga", password="a long enough one")
    assert users.make_operator(" olga ").check_password("a long enough one")
    assert User.objects.count() == 1


@pytest.mark.parametrize("name", ["", "  ", "two words", "a/b", "x" * 151])
def test_a_name_that_cannot_be_one_is_refused_and_nothing_is_made(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        users.make_operator(name)
    assert not User.objects.exists()


def test_a_link_says_whose_it_is_without_being_used_up() -> None:
    link = parts_of(users.sign_in_link(users.make_operator("olga")))
    assert users.find(*link).username == "olga"
    assert users.find(*link).username == "olga"


def test_a_link_works_once_and_ends_all_older_ones() -> None:
    user = users.make_operator("olga")
    first, second = parts_of(users.sign_in_link(user)), parts_of(users.sign_in_link(user))
    assert users.redeem_link(*second, actor=NOBODY).pk == user.pk
    assert users.redeem_link(*second, actor=NOBODY) is None
    assert users.redeem_link(*first, actor=NOBODY) is None
    assert users.find(*second) is None


def test_a_link_made_right_after_signing_in_works_once_too() -> None:
    user = users.make_operator("olga")
    for _ in range(3):  # all within the second to which Django's own tokens round
        link = parts_of(users.sign_in_link(user))
        user = users.redeem_link(*link, actor=NOBODY)
        assert user is not None
        assert users.redeem_link(*link, actor=NOBODY) is None


def test_of_two_who_use_a_link_at_the_same_moment_one_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    user = users.make_operator("olga")
    link = parts_of(users.sign_in_link(user))
    find = users.find

    def overtaken(uid: str, token: str) -> User | None:
        found = find(uid, token)
        monkeypatch.setattr(users, "find", find)
        assert users.redeem_link(uid, token, actor=NOBODY) is not None  # the other one, between our look and our update
        return found

    monkeypatch.setattr(users, "find", overtaken)
    assert users.redeem_link(*link, actor=NOBODY) is None


def test_a_link_expires(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    link = parts_of(users.sign_in_link(users.make_operator("olga")))
    later = datetime.now() + timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT + 60)  # noqa: DTZ005 - as Django does
    monkeypatch.setattr(users._tokens, "_now", lambda: later)
    assert users.redeem_link(*link, actor=NOBODY) is None


def test_a_link_of_a_deactivated_account_is_dead() -> None:
    user = users.make_operator("olga")
    link = parts_of(users.sign_in_link(user))
    User.objects.update(is_active=False)
    assert users.redeem_link(*link, actor=NOBODY) is None


@pytest.mark.parametrize(
    ("uid", "token"), [("", ""), ("MQ", "x-y"), ("é", "1"), ("OTk5OTk5OTk5OTk5OTk5OTk5OTk", "a-b")]
)
def test_made_up_links_are_nobodys(uid: str, token: str) -> None:
    users.make_operator("olga")
    assert users.redeem_link(uid, token, actor=NOBODY) is None


def test_the_first_operator_is_missing_until_one_has_signed_in() -> None:
    assert not users.has_operator_signed_in()
    user = users.make_operator("olga")
    assert not users.has_operator_signed_in()
    users.redeem_link(*parts_of(users.sign_in_link(user)), actor=NOBODY)
    assert users.has_operator_signed_in()

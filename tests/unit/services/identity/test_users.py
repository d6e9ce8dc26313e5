"""Operators and one-time sign-in links."""

from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User

from recognizer.services.identity import users
from recognizer.services.identity.actors import Actor

pytestmark = pytest.mark.django_db

ANONYMOUS = Actor()


def parts_of(link: str) -> tuple[str, str]:
    uid, token = link.strip("/").split("/")[-2:]
    return uid, token


def test_operator_can_review_operate_and_open_the_admin_pages() -> None:
    user = User.objects.get(pk=users.make_operator("olga").pk)
    actor = Actor(user=user)
    assert actor.is_operator
    assert actor.is_reviewer
    assert user.is_staff
    assert not user.is_superuser
    assert not user.has_usable_password()


def test_making_an_account_operator_keeps_its_password() -> None:
    User.objects.create_user("olga", password="a long enough one")
    assert users.make_operator(" olga ").check_password("a long enough one")
    assert User.objects.count() == 1


@pytest.mark.parametrize("name", ["", "  ", "two words", "a/b", "x" * 151])
def test_invalid_name_is_rejected_and_no_account_is_created(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        users.make_operator(name)
    assert not User.objects.exists()


def test_finding_the_account_of_a_link_does_not_use_it() -> None:
    link = parts_of(users.sign_in_link(users.make_operator("olga")))
    assert users.find(*link).username == "olga"
    assert users.find(*link).username == "olga"


def test_link_works_once_and_invalidates_all_older_links() -> None:
    user = users.make_operator("olga")
    first, second = parts_of(users.sign_in_link(user)), parts_of(users.sign_in_link(user))
    assert users.redeem_link(*second, actor=ANONYMOUS).pk == user.pk
    assert users.redeem_link(*second, actor=ANONYMOUS) is None
    assert users.redeem_link(*first, actor=ANONYMOUS) is None
    assert users.find(*second) is None


def test_link_created_within_a_second_of_signing_in_works_once() -> None:
    user = users.make_operator("olga")
    for _ in range(3):  # within the second to which Django's own tokens round
        link = parts_of(users.sign_in_link(user))
        user = users.redeem_link(*link, actor=ANONYMOUS)
        assert user is not None
        assert users.redeem_link(*link, actor=ANONYMOUS) is None


def test_only_one_of_two_concurrent_uses_of_a_link_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    user = users.make_operator("olga")
    link = parts_of(users.sign_in_link(user))
    find = users.find

    def find_then_use(uid: str, token: str) -> User | None:
        user = find(uid, token)
        monkeypatch.setattr(users, "find", find)
        assert users.redeem_link(uid, token, actor=ANONYMOUS) is not None  # between the lookup and the update
        return user

    monkeypatch.setattr(users, "find", find_then_use)
    assert users.redeem_link(*link, actor=ANONYMOUS) is None


def test_link_expires(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    link = parts_of(users.sign_in_link(users.make_operator("olga")))
    later = datetime.now() + timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT + 60)  # noqa: DTZ005 - as Django does
    monkeypatch.setattr(users._tokens, "_now", lambda: later)
    assert users.redeem_link(*link, actor=ANONYMOUS) is None


def test_link_of_an_inactive_account_is_invalid() -> None:
    user = users.make_operator("olga")
    link = parts_of(users.sign_in_link(user))
    User.objects.update(is_active=False)
    assert users.redeem_link(*link, actor=ANONYMOUS) is None


@pytest.mark.parametrize(
    ("uid", "token"), [("", ""), ("MQ", "x-y"), ("é", "1"), ("OTk5OTk5OTk5OTk5OTk5OTk5OTk", "a-b")]
)
def test_invalid_links_have_no_account(uid: str, token: str) -> None:
    users.make_operator("olga")
    assert users.redeem_link(uid, token, actor=ANONYMOUS) is None


def test_operator_counts_as_signed_in_only_after_the_first_sign_in() -> None:
    assert not users.has_operator_signed_in()
    user = users.make_operator("olga")
    assert not users.has_operator_signed_in()
    users.redeem_link(*parts_of(users.sign_in_link(user)), actor=ANONYMOUS)
    assert users.has_operator_signed_in()

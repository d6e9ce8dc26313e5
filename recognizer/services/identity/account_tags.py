"""Account tags: opaque ids by which a browser keeps the unsent work of one account apart from that of another.

Every page carries the id of its site (`SITE_ID`) and the tag of its account. Scripts prefix the names of what they
store with them, and send the account's tag with each request, so that work done by one account is never stored under
another. Used by the context processor of the pages and by `PageAccountMiddleware`.
"""

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.utils.crypto import constant_time_compare, salted_hmac

SALT = "recognizer.account-tag"
TAG_LENGTH = 16


class PageAccountError(PermissionError):
    """A request comes from a page that was opened by another account; the message says what to do."""

    status = 403
    code = "other_account"

    def __init__(self) -> None:
        super().__init__("Another account is signed in in this browser now. Sign in again with your own.")


class SignedOutError(PageAccountError):
    """The session of the page's account has ended."""

    status = 401
    code = "signed_out"

    def __init__(self) -> None:
        PermissionError.__init__(self, "You are signed out. Sign in again.")


def account_tag(user: AbstractBaseUser | AnonymousUser | None) -> str:
    """The tag of `user`, or an empty string for a visitor without an account."""
    if user is None or not user.is_authenticated:
        return ""
    return salted_hmac(SALT, f"account {user.pk}", algorithm="sha256").hexdigest()[:TAG_LENGTH]


def check_page_account(user: AbstractBaseUser | AnonymousUser | None, tag: str) -> None:
    """Check that a request is made by the account that opened its page.

    Args:
        user: who the request is made by.
        tag: the tag of the account that opened the page.

    Raises:
        SignedOutError: no account is signed in any more.
        PageAccountError: another account is signed in now.
    """
    current = account_tag(user)
    if not current:
        raise SignedOutError
    if not constant_time_compare(current, tag):
        raise PageAccountError

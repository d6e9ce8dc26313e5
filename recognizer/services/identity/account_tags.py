"""Account tags: opaque ids with which a browser separates the unsent work of different accounts.

Every page contains the id of its site (`SITE_ID`) and the tag of its account. Scripts prefix their storage keys with
both, and send the account's tag with each request, so that work done by one account is never stored under another.
Used by the context processor of the pages and by `PageAccountMiddleware`.
"""

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.utils.crypto import constant_time_compare, salted_hmac

SALT = "recognizer.account-tag"
TAG_LENGTH = 16


class PageAccountError(PermissionError):
    """The page that sends the request was opened by another account; the message says what to do."""

    status = 403
    code = "other_account"


class SignedOutError(PageAccountError):
    """The session of the page's account has ended."""

    status = 401
    code = "signed_out"


def account_tag(user: AbstractBaseUser | AnonymousUser | None) -> str:
    """Return the tag of `user`, or an empty string for a visitor without an account."""
    if user is None or not user.is_authenticated:
        return ""
    return salted_hmac(SALT, f"account {user.pk}", algorithm="sha256").hexdigest()[:TAG_LENGTH]


def check_page_account(user: AbstractBaseUser | AnonymousUser | None, tag: str) -> None:
    """Check that a request is made by the account that opened its page.

    Args:
        user: the account that makes the request.
        tag: the tag of the account that opened the page.

    Raises:
        SignedOutError: the request has no account; the session has ended.
        PageAccountError: another account makes the request.
    """
    current = account_tag(user)
    if not current:
        raise SignedOutError("You are signed out. Sign in again.")
    if not constant_time_compare(current, tag):
        raise PageAccountError("Another account is signed in in this browser now. Sign in again with your own.")

"""Accounts and roles, and one-time sign-in links for accounts without a password."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser, Group, User
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.db import IntegrityError, transaction
from django.db.models import Count, Q, QuerySet, prefetch_related_objects
from django.urls import reverse
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_decode, urlsafe_base64_encode

from recognizer.models import Label

from . import account_names
from .actors import Actor
from .permissions import NotAllowedError, require_operator
from .throttling import Kind, limit_rate

VISITOR, REVIEWER, OPERATOR = ROLES = ("visitor", "reviewer", "operator")


class _LinkTokens(PasswordResetTokenGenerator):
    """Generator of signed tokens of the account's state; they expire after PASSWORD_RESET_TIMEOUT.

    Signing in changes `last_login`, which is part of the signed value: so each link works once, and using a link
    invalidates all others. https://docs.djangoproject.com/en/5.2/ref/settings/#password-reset-timeout
    """

    key_salt = "recognizer.sign-in-link"

    def _make_hash_value(self, user: AbstractBaseUser, timestamp: int) -> str:
        # Django's implementation omits the microseconds, so that a link created and used within a second of the last
        # sign-in would work twice.
        return f"{user.pk} {user.password} {user.last_login} {timestamp}"


_tokens = _LinkTokens()


@transaction.atomic
def make_operator(name: str) -> User:
    """Make the account `name` an active operator with access to the admin pages; create it if it does not exist.

    Raises:
        ValueError: the name is empty, too long, or contains characters that are not allowed; the message says so.
    """
    user = account_names.find(name)
    if user is None:
        user = User(username=account_names.check(name))
        user.set_unusable_password()
    user.is_staff = user.is_active = True
    user.save()
    user.groups.add(Group.objects.get(name=OPERATOR))
    return user


@dataclass(frozen=True, slots=True)
class UserSummary:
    """An account as operators see it; `decisions` is the number of its reviews."""

    user: User
    role: str
    decisions: int


def search_users(search: str = "") -> QuerySet[User]:
    """Return the accounts whose name contains `search`, newest first."""
    return User.objects.filter(username__icontains=search).order_by("-pk")


def list_users(users: Sequence[User]) -> list[UserSummary]:
    """Return these accounts with their roles and the number of their reviews."""
    prefetch_related_objects(users, "groups")
    reviews = Label.objects.reviews().filter(user__in=users, value__gt="").order_by()
    decisions = dict(reviews.values_list("user").annotate(Count("pk")))
    return [UserSummary(user, role_of(user), decisions.get(user.pk, 0)) for user in users]


def role_of(user: User) -> str:
    """Return the highest role of the account; superusers are operators."""
    names = {group.name for group in user.groups.all()}
    if user.is_superuser or OPERATOR in names:
        return OPERATOR
    return REVIEWER if REVIEWER in names else VISITOR


@limit_rate(Kind.CHANGE)
@transaction.atomic
def add_user(*, actor: Actor, name: str, role: str) -> User:
    """Create an account without a password; its owner signs in with a one-time link.

    Raises:
        NotAllowedError: the actor is not an operator.
        ValueError: the name is taken or not allowed, or the role does not exist; the message says so.
    """
    require_operator(actor)
    user = prepare_account(name)
    user.set_unusable_password()
    save_account(user)
    _set_role(actor, user, role)
    return user


@limit_rate(Kind.CHANGE)
@transaction.atomic
def set_role(*, actor: Actor, user: User, role: str) -> None:
    """Make `user` an operator, a reviewer, or neither.

    Raises:
        NotAllowedError: the actor is not an operator, or the account is the actor's own or a superuser's.
        ValueError: the role does not exist.
    """
    _set_role(actor, user, role)


def _set_role(actor: Actor, user: User, role: str) -> None:
    require_operator(actor)
    if role not in ROLES:
        raise ValueError(f"There is no role {role!r}. Use one of: {', '.join(ROLES)}.")
    is_own = actor.user is not None and user.pk == actor.user.pk
    if role != role_of(user) and (is_own or user.is_superuser):
        raise NotAllowedError("You cannot change your own role, nor a superuser's.")
    user.groups.remove(*Group.objects.filter(name__in=(REVIEWER, OPERATOR)))
    if role != VISITOR:
        user.groups.add(Group.objects.get(name=role))
    # Only operators have access to the admin pages.
    User.objects.filter(pk=user.pk).update(is_staff=role == OPERATOR or user.is_superuser)


@limit_rate(Kind.CHANGE)
def create_sign_in_link(*, actor: Actor, user: User) -> str:
    """Create a one-time sign-in link for an account whose owner has no password or forgot it.

    Raises:
        NotAllowedError: the actor is not an operator, or `user` is a superuser and the actor is not.
        ValueError: the account is inactive.
    """
    require_operator(actor)
    if user.is_superuser and not (actor.user is not None and actor.user.is_superuser):
        raise NotAllowedError("Only a superuser can let a superuser in.")
    if not user.is_active:
        raise ValueError("This account is switched off.")
    return sign_in_link(user)


def prepare_account(name: str) -> User:
    """Return an unsaved account; `save_account` saves it.

    Raises:
        ValueError: the name is taken or not allowed; the message says so.
    """
    name = account_names.check(name)
    existing = account_names.find(name)
    if existing is not None:
        raise ValueError(f"There is an account {existing.get_username()} already.")
    return User(username=name)


def save_account(user: User) -> None:
    """Save a new account together with its name's key.

    Raises:
        ValueError: another request has just created an account with this name.
    """
    try:
        with transaction.atomic():
            user.save()
    except IntegrityError as error:
        raise ValueError(f"There is an account {user.get_username()} already.") from error


def has_operator_signed_in() -> bool:
    """Return whether an active operator or superuser has signed in before."""
    signed_in = User.objects.filter(is_active=True, last_login__isnull=False)
    return signed_in.filter(Q(groups__name=OPERATOR) | Q(is_superuser=True)).exists()


def is_last_operator(user: User) -> bool:
    """Return whether there is no other active operator or superuser."""
    other_users = User.objects.filter(is_active=True).exclude(pk=user.pk)
    return not other_users.filter(Q(groups__name=OPERATOR) | Q(is_superuser=True)).exists()


def sign_in_link(user: User) -> str:
    """Return the path of a one-time link that signs `user` in."""
    return reverse("sign-in", args=[urlsafe_base64_encode(force_bytes(user.pk)), _tokens.make_token(user)])


def find(uid: str, token: str) -> User | None:
    """Return the account of a sign-in link without using it; None if the link is used, expired or invalid."""
    try:
        user = User.objects.get(pk=int(urlsafe_base64_decode(uid)), is_active=True)
    except (ValueError, OverflowError, User.DoesNotExist):
        return None
    return user if _tokens.check_token(user, token) else None


@limit_rate(Kind.CHANGE)
def redeem_link(uid: str, token: str, *, actor: Actor) -> User | None:  # noqa: ARG001 - `limit_rate` counts it
    """Use a sign-in link and return its account, or None as `find`. Only one of two concurrent calls succeeds.

    Args:
        uid: the account's part of the link.
        token: the token of the link.
        actor: the caller, who is not signed in yet.
    """
    user = find(uid, token)
    if user is None:
        return None
    now = timezone.now()
    if not User.objects.filter(pk=user.pk, last_login=user.last_login).update(last_login=now):
        return None
    user.last_login = now
    return user

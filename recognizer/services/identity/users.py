"""Accounts of operators, and one-time sign-in links: how somebody gets in before there is any password."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib.auth.models import Group, User
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.db import IntegrityError, transaction
from django.db.models import Count, Q, QuerySet, prefetch_related_objects
from django.urls import reverse
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_decode, urlsafe_base64_encode

from recognizer.models import Label, LabelKind

from . import account_names
from .actors import Actor
from .permissions import NotAllowedError
from .throttling import Kind, limit_rate

VISITOR, REVIEWER, OPERATOR = ROLES = ("visitor", "reviewer", "operator")


class _LinkTokens(PasswordResetTokenGenerator):
    """Signed tokens of the account's state; they expire after PASSWORD_RESET_TIMEOUT.

    Signing in changes `last_login`, which is part of what is signed: so each link works once, and using one ends
    all the others. https://docs.djangoproject.com/en/5.2/ref/settings/#password-reset-timeout
    """

    key_salt = "recognizer.sign-in-link"

    def _make_hash_value(self, user: User, timestamp: int) -> str:
        # Django's own leaves out the microseconds, so that a link made and used within a second of the last
        # sign-in would work twice.
        return f"{user.pk} {user.password} {user.last_login} {timestamp}"


_tokens = _LinkTokens()


@transaction.atomic
def make_operator(name: str) -> User:
    """The account `name`, made if there is none, as an operator who may also use the admin pages.

    Raises:
        ValueError: the name is empty, too long, or holds what a name must not; the message says so.
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
    """An account as operators see it."""

    user: User
    role: str
    decisions: int


def search_users(search: str = "") -> QuerySet[User]:
    """Every account whose name holds `search`, the newest first."""
    return User.objects.filter(username__icontains=search).order_by("-pk")


def list_users(users: Sequence[User]) -> list[UserSummary]:
    """The same accounts with what they may do and how much they reviewed."""
    prefetch_related_objects(users, "groups")
    said = Label.objects.filter(user__in=users, kind=LabelKind.REVIEW, value__gt="").order_by()
    decisions = dict(said.values_list("user").annotate(Count("pk")))
    return [UserSummary(user, role_of(user), decisions.get(user.pk, 0)) for user in users]


def role_of(user: User) -> str:
    names = {group.name for group in user.groups.all()}
    if user.is_superuser or OPERATOR in names:
        return OPERATOR
    return REVIEWER if REVIEWER in names else VISITOR


@limit_rate(Kind.CHANGE)
@transaction.atomic
def add_user(*, actor: Actor, name: str, role: str) -> User:
    """A new account without a password; its one-time link lets its owner in.

    Raises:
        NotAllowedError: the actor is no operator.
        ValueError: the name is taken or no name, or there is no such role; the message says so.
    """
    _check_operates(actor)
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
        NotAllowedError: the actor is no operator, or would lock themselves or a superuser out.
        ValueError: there is no such role.
    """
    _set_role(actor, user, role)


def _set_role(actor: Actor, user: User, role: str) -> None:
    _check_operates(actor)
    if role not in ROLES:
        raise ValueError(f"There is no role {role!r}. Use one of: {', '.join(ROLES)}.")
    if role != role_of(user) and (user.pk == actor.user.pk or user.is_superuser):
        raise NotAllowedError("You cannot change your own role, nor a superuser's.")
    user.groups.remove(*Group.objects.filter(name__in=(REVIEWER, OPERATOR)))
    if role != VISITOR:
        user.groups.add(Group.objects.get(name=role))
    # Only operators may look into the admin pages.
    User.objects.filter(pk=user.pk).update(is_staff=role == OPERATOR or user.is_superuser)


@limit_rate(Kind.CHANGE)
def create_sign_in_link(*, actor: Actor, user: User) -> str:
    """A one-time sign-in link for somebody who has no password or forgot it.

    Raises:
        NotAllowedError: the actor is no operator, or `user` is a superuser and the actor is none.
        ValueError: the account is switched off.
    """
    _check_operates(actor)
    if user.is_superuser and not actor.user.is_superuser:
        raise NotAllowedError("Only a superuser can let a superuser in.")
    if not user.is_active:
        raise ValueError("This account is switched off.")
    return sign_in_link(user)


def _check_operates(actor: Actor) -> None:
    if not actor.is_operator:
        raise NotAllowedError("Only operators look after accounts.")


def prepare_account(name: str) -> User:
    """Return an account that is not stored yet; `save_account` does that.

    Raises:
        ValueError: the name is taken or cannot be one; the message says so.
    """
    name = account_names.check(name)
    taken = account_names.find(name)
    if taken is not None:
        raise ValueError(f"There is an account {taken.get_username()} already.")
    return User(username=name)


def save_account(user: User) -> None:
    """Store a new account together with its name's key.

    Raises:
        ValueError: the name was taken at this moment.
    """
    try:
        with transaction.atomic():
            user.save()
    except IntegrityError as error:
        raise ValueError(f"There is an account {user.get_username()} already.") from error


def has_operator_signed_in() -> bool:
    """Whether anybody can operate this site already."""
    signed_in = User.objects.filter(is_active=True, last_login__isnull=False)
    return signed_in.filter(Q(groups__name=OPERATOR) | Q(is_superuser=True)).exists()


def is_last_operator(user: User) -> bool:
    """Whether nobody else could operate this site without this account."""
    others = User.objects.filter(is_active=True).exclude(pk=user.pk)
    return not others.filter(Q(groups__name=OPERATOR) | Q(is_superuser=True)).exists()


def sign_in_link(user: User) -> str:
    """The path of a page that signs `user` in, once."""
    return reverse("sign-in", args=[urlsafe_base64_encode(force_bytes(user.pk)), _tokens.make_token(user)])


def find(uid: str, token: str) -> User | None:
    """Whose link it is, without using it up; None for a link that is used, too old or made up."""
    try:
        user = User.objects.get(pk=int(urlsafe_base64_decode(uid)), is_active=True)
    except (ValueError, OverflowError, User.DoesNotExist):
        return None
    return user if _tokens.check_token(user, token) else None


@limit_rate(Kind.CHANGE)
def redeem_link(uid: str, token: str, *, actor: Actor) -> User | None:  # noqa: ARG001 - `limit_rate` counts it
    """Use the link up and say whose it is; None as for `find`. Of two at the same moment one wins.

    Args:
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

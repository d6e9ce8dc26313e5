"""Account names: validation, and uniqueness of names that look the same.

Two names are equal if their keys are equal: NFKC and case folding remove differences that are not visible. A unique
column holds the keys, on both databases. Accounts whose names had equal keys before that column was added keep working:
the oldest of them has the key, the others are looked up by their exact spelling.
"""

import hashlib
import unicodedata

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from recognizer.models import AccountName
from recognizer.models.accounts import MAX_KEY_LENGTH

# Scripts that one name may mix. https://www.unicode.org/reports/tr39/#Restriction_Level_Detection
JAPANESE, KOREAN, CHINESE = {"CJK", "HIRAGANA", "KATAKANA"}, {"CJK", "HANGUL"}, {"CJK", "BOPOMOFO"}
ALLOWED_MIXTURES = [{"LATIN"} | scripts for scripts in (JAPANESE, KOREAN, CHINESE)]
# First words of Unicode character names that differ from the name of the script.
SYNONYMS = {"IDEOGRAPHIC": "CJK", "KATAKANA-HIRAGANA": "KATAKANA", "ARABIC-INDIC": "ARABIC", "EXTENDED": "ARABIC"}


class NameTakenError(IntegrityError):
    """There is an account with that name, or with one that looks like it."""


def key_of(name: str) -> str:
    """Return the comparable form of a name, at most MAX_KEY_LENGTH characters."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name.strip()).casefold())
    if len(folded) <= MAX_KEY_LENGTH:
        return folded
    return hashlib.sha256(folded.encode()).hexdigest()


def find(name: str) -> User | None:
    """Return the account with exactly this name, or else the one whose name has the same key; None if there is none."""
    username = User.normalize_username(name.strip())
    exact = User.objects.filter(username=username).first()
    return exact or User.objects.filter(name_key__key=key_of(name)).first()


def check(name: str) -> str:
    """Validate and normalize the name of a new account.

    Raises:
        ValueError: the name is empty, too long, contains characters that are not allowed, or mixes scripts; the
            message says so.
    """
    name = User.normalize_username(name.strip())
    try:
        User._meta.get_field("username").clean(name, None)  # noqa: SLF001 - documented API
    except ValidationError as error:
        raise ValueError(f"{name!r} cannot be a name. {' '.join(error.messages)}") from error
    scripts = scripts_of(name)
    if len(scripts) > 1 and not any(scripts <= mixture for mixture in ALLOWED_MIXTURES):
        alphabets = " and ".join(script.capitalize() for script in sorted(scripts))
        raise ValueError(f"{name!r} cannot be a name. It mixes letters of {alphabets}; use one alphabet.")
    return name


def scripts_of(name: str) -> set[str]:
    """Return the scripts of the letters and digits in a name; ASCII digits, marks and punctuation do not count."""
    scripts = set()
    for character in name:
        if character in "0123456789" or unicodedata.category(character)[0] not in "LN":
            continue
        first = unicodedata.name(character, "UNKNOWN").split()[0]
        scripts.add(SYNONYMS.get(first, first))
    return scripts


def claim(user: User) -> None:
    """Store the key of an account's name, just after the row of the account was saved.

    Raises:
        NameTakenError: another account has that key; outside a transaction the row of a new account is deleted again.
    """
    key = key_of(user.get_username())
    own = AccountName.objects.filter(user=user)
    if own.filter(key=key).exists() or own.filter(key=_shared_key(key, user)).exists():
        return
    AccountName.objects.filter(key=key).exclude(user__in=User.objects.all()).delete()
    try:
        with transaction.atomic():
            AccountName.objects.update_or_create(user=user, defaults={"key": key})
    except IntegrityError as error:
        if not (connection.in_atomic_block or own.exists()):
            user.delete()
        raise NameTakenError(f"There is an account with a name like {user.get_username()!r} already.") from error


def _shared_key(key: str, user: User) -> str:
    """Return the key of an account whose name has the key of an older one; names cannot contain the number sign."""
    return f"{key[: MAX_KEY_LENGTH - 20]}#{user.pk}"

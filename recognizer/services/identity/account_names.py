"""Names of accounts: which are allowed, and which are the same.

Two names are the same if they have one key: NFKC and case folding take away what the eye does not see. A unique column
holds the keys, on both databases. Names whose keys were equal before that column came keep working: the oldest of them
has the key, the others are found by their exact spelling.
"""

import hashlib
import unicodedata

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from recognizer.models import AccountName
from recognizer.models.accounts import MAX_KEY_LENGTH

# Scripts that are written together. https://www.unicode.org/reports/tr39/#Restriction_Level_Detection
JAPANESE, KOREAN, CHINESE = {"CJK", "HIRAGANA", "KATAKANA"}, {"CJK", "HANGUL"}, {"CJK", "BOPOMOFO"}
WRITTEN_TOGETHER = [{"LATIN"} | scripts for scripts in (JAPANESE, KOREAN, CHINESE)]
# In names of characters these stand for a script that has another name.
SYNONYMS = {"IDEOGRAPHIC": "CJK", "KATAKANA-HIRAGANA": "KATAKANA", "ARABIC-INDIC": "ARABIC", "EXTENDED": "ARABIC"}


class NameTakenError(IntegrityError):
    """There is an account of that name, or of one that looks like it."""


def key_of(name: str) -> str:
    """Return the comparable form of a name, at most MAX_KEY_LENGTH characters."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name.strip()).casefold())
    if len(folded) <= MAX_KEY_LENGTH:
        return folded
    return hashlib.sha256(folded.encode()).hexdigest()


def find(name: str) -> User | None:
    """Return the account of that name: the one that is spelled so, or else the one with the same key."""
    spelled = User.normalize_username(name.strip())
    exact = User.objects.filter(username=spelled).first()
    return exact or User.objects.filter(name_key__key=key_of(name)).first()


def check(name: str) -> str:
    """Return a name for a new account as it is stored.

    Raises:
        ValueError: it is empty, too long, holds what a name must not, or mixes alphabets; the message says so.
    """
    name = User.normalize_username(name.strip())
    try:
        User._meta.get_field("username").clean(name, None)  # noqa: SLF001 - public, for all its underscore
    except ValidationError as error:
        raise ValueError(f"{name!r} cannot be a name. {' '.join(error.messages)}") from error
    scripts = scripts_of(name)
    if len(scripts) > 1 and not any(scripts <= together for together in WRITTEN_TOGETHER):
        alphabets = " and ".join(script.capitalize() for script in sorted(scripts))
        raise ValueError(f"{name!r} cannot be a name. It mixes letters of {alphabets}; use one alphabet.")
    return name


def scripts_of(name: str) -> set[str]:
    """Return the scripts of the letters and digits in a name; ASCII digits, marks and punctuation have none."""
    scripts = set()
    for character in name:
        if character in "0123456789" or unicodedata.category(character)[0] not in "LN":
            continue
        first = unicodedata.name(character, "UNKNOWN").split()[0]
        scripts.add(SYNONYMS.get(first, first))
    return scripts


def claim(user: User) -> None:
    """Give an account the key of its name. Its row was written just before.

    Raises:
        NameTakenError: another account has that key; outside a transaction the new account's row is deleted again.
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
    """Return the key of an account whose name another one had first; no name can hold its number sign."""
    return f"{key[: MAX_KEY_LENGTH - 20]}#{user.pk}"

"""What Django itself does to accounts, connected to the services: an account is saved, somebody signs in."""

from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.http import HttpRequest

from recognizer.services.identity import account_names, sessions


@receiver(post_save, sender=User)
def claim_name(instance: User, *, raw: bool, update_fields: frozenset[str] | None, **_more: object) -> None:
    """Keep the key of an account's name, also where a command of Django's made the account."""
    if not raw and (update_fields is None or "username" in update_fields):
        account_names.claim(instance)


@receiver(user_logged_in)
def note_session(request: HttpRequest, user: User, **_more: object) -> None:
    """Keep account of the sessions that an account has."""
    if request.session.session_key is None:
        # Django has flushed the session of another account, and names the new one when it is stored.
        request.session.save()
    sessions.start(user, request.session.session_key)

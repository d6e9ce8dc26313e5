"""Signal handlers: store the name key of a saved account, and record sessions on sign-in."""

from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.http import HttpRequest

from recognizer.services.identity import account_names, sessions


@receiver(post_save, sender=User)
def claim_name(instance: User, *, raw: bool, update_fields: frozenset[str] | None, **_kwargs: object) -> None:
    """Store the key of an account's name, including accounts that Django's commands create."""
    if not raw and (update_fields is None or "username" in update_fields):
        account_names.claim(instance)


@receiver(user_logged_in)
def record_session(request: HttpRequest, user: User, **_kwargs: object) -> None:
    """Record the session of an account that signs in."""
    if request.session.session_key is None:
        # Django has flushed the session of another account, and assigns the new key when the session is saved.
        request.session.save()
    sessions.start(user, str(request.session.session_key))

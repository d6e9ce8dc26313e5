"""Types of requests after this site's middleware."""

from django.contrib.auth.models import User
from django.http import HttpRequest

from recognizer.services.identity.actors import Actor


class SiteRequest(HttpRequest):
    """A request that has passed the site's middleware. For annotations only: Django creates the instances.

    Attributes:
        actor: The principal, set by `ActorMiddleware` and resolved on first use.
        new_visitor: Key that `ActorMiddleware` sends in the visitor's cookie. Set only for new or renamed visitors.
    """

    actor: Actor
    new_visitor: str


class AccountRequest(SiteRequest):
    """A request of a signed-in account, in views behind `login_required`."""

    user: User

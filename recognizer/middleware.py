"""Gives every request its `actor`: who is asking, by account or by the visitor's signed cookie."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject

from recognizer.services.actors import Actor

COOKIE_SALT = "recognizer.visitor"


def _actor_of(request: HttpRequest) -> Actor:
    user = request.user if request.user.is_authenticated else None
    visitor = request.get_signed_cookie(
        settings.VISITOR_COOKIE, default="", salt=COOKIE_SALT, max_age=settings.VISITOR_COOKIE_AGE
    )
    return Actor(user=user, visitor=visitor)


def known_actor(request: HttpRequest) -> Actor:
    """The request's actor; a stranger becomes a visitor, whose key the response will carry in a cookie."""
    if not request.actor.is_known:
        request.actor = request.actor.with_new_visitor()
        request.new_visitor = request.actor.visitor
    return request.actor


class ActorMiddleware:
    """After AuthenticationMiddleware. The actor is worked out only when somebody asks for it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.actor = SimpleLazyObject(lambda: _actor_of(request))
        response = self.get_response(request)
        visitor = getattr(request, "new_visitor", "")
        if visitor:
            response.set_signed_cookie(
                settings.VISITOR_COOKIE,
                visitor,
                salt=COOKIE_SALT,
                max_age=settings.VISITOR_COOKIE_AGE,
                secure=settings.SESSION_COOKIE_SECURE,
                httponly=True,
                samesite="Lax",
            )
        return response

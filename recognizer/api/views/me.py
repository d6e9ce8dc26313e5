"""The caller's own account, permissions and quota."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from recognizer.api.openapi.params import problems
from recognizer.api.serializers.tokens import MeSerializer
from recognizer.api.views.base import ApiView
from recognizer.models import Token
from recognizer.services.identity import permissions, quotas


class MeView(ApiView):
    """The caller."""

    scopes = {"GET": ()}  # every token may identify itself

    @extend_schema(operation_id="read_me", tags=["account"], responses={200: MeSerializer, **problems()})
    def get(self, request: Request) -> Response:
        """Return the caller's account, permissions and the remainder of today's quota."""
        actor = self.actor
        body = {
            "user": actor.user.get_username() if actor.user else None,
            "visitor": actor.user is None and bool(actor.visitor),
            "token": request.auth if isinstance(request.auth, Token) else None,
            "may_submit": permissions.can_submit(actor),
            "may_review": actor.is_reviewer,
            "may_operate": actor.is_operator,
            "quota": quotas.remaining(actor),
        }
        return Response(MeSerializer(body).data)

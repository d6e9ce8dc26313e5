"""Who the caller is to this site, what they may do, and how much they may still send."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from recognizer.api.openapi.params import problems
from recognizer.api.views.base import ApiView
from recognizer.models import Scope, Token
from recognizer.services.identity import permissions, quotas


class ShownTokenSerializer(serializers.Serializer):
    """The token that came with the request."""

    name = serializers.CharField()
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices))
    expires = serializers.DateTimeField()


class QuotaSerializer(serializers.Serializer):
    """What may be stored in a day (UTC), and what is left of today's; null: without limit."""

    submissions = serializers.IntegerField(allow_null=True)
    submissions_left = serializers.IntegerField(allow_null=True)
    bytes = serializers.IntegerField(
        allow_null=True,
        help_text="Of all that is stored: pictures, strokes, rows, labels, responses kept for `Idempotency-Key`.",
    )
    bytes_left = serializers.IntegerField(allow_null=True)


class MeSerializer(serializers.Serializer):
    user = serializers.CharField(allow_null=True, help_text="Name of the account; null: none.")
    visitor = serializers.BooleanField(help_text="Without an account, but known by a cookie.")
    token = ShownTokenSerializer(allow_null=True, help_text="Null: none was shown.")
    may_submit = serializers.BooleanField()
    may_review = serializers.BooleanField()
    may_operate = serializers.BooleanField()
    quota = QuotaSerializer()


class MeView(ApiView):
    scopes = {"GET": ()}  # every token may say whose it is

    @extend_schema(operation_id="read_me", tags=["account"], responses={200: MeSerializer, **problems()})
    def get(self, request: Request) -> Response:
        """Who you are here, what you may do, and what is left of today's quota."""
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

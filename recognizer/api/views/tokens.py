"""Personal tokens: list, create, delete. Only with a session, not with a token."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from recognizer.api.openapi.params import describe_list, problems
from recognizer.api.serializers.tokens import MadeTokenSerializer, NewTokenSerializer, TokenSerializer
from recognizer.api.views.base import ApiView, ListView
from recognizer.filters import StrictFilterSet
from recognizer.models import Token
from recognizer.services.identity import tokens

NEW_TOKEN_EXAMPLE = OpenApiExample(
    "For a scanner", {"name": "scanner", "scopes": ["read", "submit"], "days": 30}, request_only=True
)


class _TokenView(ApiView):
    scopes = {"GET": None, "POST": None, "DELETE": None}

    def get_queryset(self) -> QuerySet[Token]:
        """Return the account's tokens."""
        return tokens.for_actor(self.actor)


@describe_list(
    operation_id="list_tokens",
    tags=["account"],
    description="List the tokens of the signed-in account, newest first.",
    problem=[403],
)
class TokensView(_TokenView, ListView):
    """The account's tokens."""

    filterset_class = StrictFilterSet  # without filters
    serializer_class = TokenSerializer

    @extend_schema(
        operation_id="create_token",
        tags=["account"],
        request=NewTokenSerializer,
        examples=[NEW_TOKEN_EXAMPLE],
        responses={201: MadeTokenSerializer, **problems(400, 403, 413, 415)},
    )
    def post(self, _request: Request) -> Response:
        """Create a token. Only this response contains its key."""
        self.get_queryset()  # 403 takes precedence over 400
        params = self.validated_body(NewTokenSerializer)
        try:
            token, key = tokens.create(actor=self.actor, **params)
        except tokens.TokenError as error:
            raise ValidationError({error.field: [str(error)]}) from error
        return Response(MadeTokenSerializer(token, context={"key": key}).data, status=201)


class TokenView(_TokenView):
    """One token."""

    @extend_schema(operation_id="delete_token", tags=["account"], responses={204: None, **problems(403, 404)})
    def delete(self, _request: Request, **_kwargs: Any) -> Response:
        """Delete one of the account's tokens. It stops working immediately."""
        tokens.delete(actor=self.actor, token=self.get_object())
        return Response(status=204)

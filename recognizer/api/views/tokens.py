"""Personal tokens: list, create, delete. Only with a session, not with a token."""

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from recognizer.api.http.requests import ApiRequest
from recognizer.api.openapi.params import describe_list, problems
from recognizer.api.serializers.tokens import MadeTokenSerializer, NewTokenSerializer, TokenSerializer
from recognizer.api.views.base import ApiView, ListView
from recognizer.filters import TokenFilter
from recognizer.models import Token
from recognizer.services.identity import tokens

NEW_TOKEN_EXAMPLE = OpenApiExample(
    "For a scanner", {"name": "scanner", "scopes": ["read", "submit"], "days": 30}, request_only=True
)


class TokensView(ListView):
    """The account's tokens."""

    filterset_class = TokenFilter
    serializer_class = TokenSerializer
    scopes = {"GET": None, "POST": None}

    def rows(self) -> QuerySet[Token]:
        """Return the account's tokens."""
        return tokens.for_actor(self.actor)

    @describe_list(TokenFilter, TokenSerializer, operation_id="list_tokens", tags=["account"], problem=[403])
    def get(self, request: ApiRequest) -> Response:
        """List the tokens of the signed-in account, newest first."""
        return super().get(request)

    @extend_schema(
        operation_id="create_token",
        tags=["account"],
        request=NewTokenSerializer,
        examples=[NEW_TOKEN_EXAMPLE],
        responses={201: MadeTokenSerializer, **problems(400, 403, 413, 415)},
    )
    def post(self, _request: ApiRequest) -> Response:
        """Create a token. Only this response contains its key."""
        tokens.for_actor(self.actor)  # 403 takes precedence over 400
        params = self.validated_body(NewTokenSerializer)
        try:
            token, key = tokens.create(actor=self.actor, **params)
        except tokens.TokenError as error:
            raise ValidationError({error.field: [str(error)]}) from error
        return Response(MadeTokenSerializer(token, context={"key": key}).data, status=201)


class TokenView(ApiView):
    """One token."""

    scopes = {"DELETE": None}

    @extend_schema(operation_id="delete_token", tags=["account"], responses={204: None, **problems(403, 404)})
    def delete(self, _request: ApiRequest, pk: int) -> Response:
        """Delete one of the account's tokens. It stops working immediately."""
        token = tokens.for_actor(self.actor).filter(pk=pk).first()
        if token is None:
            raise Http404
        tokens.delete(actor=self.actor, token=token)
        return Response(status=204)

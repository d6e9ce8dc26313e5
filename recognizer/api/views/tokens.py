"""Personal tokens: which there are, making one, deleting one. For people who are signed in, never with a token."""

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from recognizer.api.openapi.params import describe_list, problems
from recognizer.api.serializers.inputs import ShortListField, StrictSerializer
from recognizer.api.views.base import ApiView, ListView
from recognizer.filters import TokenFilter
from recognizer.models import Scope, Token
from recognizer.services.identity import tokens


class TokenSerializer(serializers.Serializer):
    """A token; its key is not to be had again."""

    id = serializers.IntegerField(source="pk")
    name = serializers.CharField()
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices))
    created = serializers.DateTimeField()
    expires = serializers.DateTimeField()
    last_used = serializers.DateTimeField(allow_null=True, help_text="To within five minutes; null: never.")


class MadeTokenSerializer(TokenSerializer):
    """A token just made, with its key."""

    key = serializers.SerializerMethodField(help_text="Shown this once: it is stored nowhere.")

    def get_key(self, _token: Token) -> str:
        return self.context["key"]


class NewTokenSerializer(StrictSerializer):
    name = serializers.CharField(max_length=60, help_text="What it is for; no two of one account have the same.")
    scopes = ShortListField(
        child=serializers.ChoiceField(choices=Scope.choices),
        min_length=1,
        max_length=len(Scope),
        help_text="What it may be used for. `review` and `operate` are for those who may themselves.",
    )
    days = serializers.IntegerField(
        required=False, min_value=1, max_value=3650, help_text="How long it works; the site sets a default and a limit."
    )


NEW_TOKEN = OpenApiExample(
    "For a scanner", {"name": "scanner", "scopes": ["read", "submit"], "days": 30}, request_only=True
)


class TokensView(ListView):
    filterset_class = TokenFilter
    serializer_class = TokenSerializer
    scopes = {"GET": None, "POST": None}

    def rows(self) -> QuerySet[Token]:
        return tokens.for_actor(self.actor)

    @describe_list(TokenFilter, TokenSerializer, operation_id="list_tokens", tags=["account"], problem=[403])
    def get(self, request: Request) -> Response:
        """The tokens of the signed-in account, newest first."""
        return super().get(request)

    @extend_schema(
        operation_id="create_token",
        tags=["account"],
        request=NewTokenSerializer,
        examples=[NEW_TOKEN],
        responses={201: MadeTokenSerializer, **problems(400, 403, 413, 415)},
    )
    def post(self, _request: Request) -> Response:
        """Make a token. Its key is in this answer and nowhere else."""
        tokens.for_actor(self.actor)  # who may not is told so first
        sent = self.validated_body(NewTokenSerializer)
        try:
            token, key = tokens.create(actor=self.actor, **sent)
        except tokens.TokenError as error:
            raise serializers.ValidationError({error.field: [str(error)]}) from error
        return Response(MadeTokenSerializer(token, context={"key": key}).data, status=201)


class TokenView(ApiView):
    scopes = {"DELETE": None}

    @extend_schema(operation_id="delete_token", tags=["account"], responses={204: None, **problems(403, 404)})
    def delete(self, _request: Request, pk: int) -> Response:
        """Delete one of the account's tokens: from now on it opens nothing."""
        token = tokens.for_actor(self.actor).filter(pk=pk).first()
        if token is None:
            raise Http404
        tokens.delete(actor=self.actor, token=token)
        return Response(status=204)

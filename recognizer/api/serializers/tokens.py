"""Serializers of personal tokens and of the caller's own account."""

from typing import Any

from rest_framework import serializers

from recognizer.models import Scope, Token

from .fields import ShortListField, StrictSerializer


class TokenSerializer(serializers.Serializer[Token]):
    """A token without its key."""

    id = serializers.IntegerField(source="pk")
    name = serializers.CharField()
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices))
    created = serializers.DateTimeField()
    expires = serializers.DateTimeField()
    last_used = serializers.DateTimeField(allow_null=True, help_text="Accurate to five minutes; null: never used.")


class MadeTokenSerializer(TokenSerializer):
    """A new token with its key."""

    key = serializers.SerializerMethodField(help_text="Shown only in this response; the site stores only a hash.")

    def get_key(self, _token: Token) -> str:
        """The key. Only the context has it."""
        key: str = self.context["key"]
        return key


class NewTokenSerializer(StrictSerializer):
    """A request for a token."""

    name = serializers.CharField(max_length=60, help_text="Purpose of the token; unique in the account.")
    scopes = ShortListField(
        child=serializers.ChoiceField(choices=Scope.choices),
        min_length=1,
        max_length=len(Scope),
        help_text="Permissions of the token. `review` and `operate` require that the account has them.",
    )
    days = serializers.IntegerField(
        required=False, min_value=1, max_value=3650, help_text="Lifetime; the site sets a default and a maximum."
    )


class ShownTokenSerializer(serializers.Serializer[Token]):
    """The token of this request."""

    name = serializers.CharField()
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices))
    expires = serializers.DateTimeField()


class QuotaSerializer(serializers.Serializer[Any]):
    """Daily storage quota (UTC) and its remainder; null: unlimited."""

    submissions = serializers.IntegerField(allow_null=True)
    submissions_left = serializers.IntegerField(allow_null=True)
    bytes = serializers.IntegerField(
        allow_null=True,
        help_text="Of everything that is stored: images, strokes, rows, labels, responses for `Idempotency-Key`.",
    )
    bytes_left = serializers.IntegerField(allow_null=True)


class MeSerializer(serializers.Serializer[Any]):
    """The caller's account, permissions and quota."""

    user = serializers.CharField(allow_null=True, help_text="Name of the account; null: none.")
    visitor = serializers.BooleanField(help_text="Without an account, but identified by a cookie.")
    token = ShownTokenSerializer(allow_null=True, help_text="Null: the request had no token.")
    may_submit = serializers.BooleanField()
    may_review = serializers.BooleanField()
    may_operate = serializers.BooleanField()
    quota = QuotaSerializer()

"""Serializer of problem documents."""

from typing import Any

from rest_framework import serializers


class ProblemSerializer(serializers.Serializer[Any]):
    """An error (RFC 9457)."""

    type = serializers.CharField()
    title = serializers.CharField(help_text="Reason phrase of the status.")
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="Message for people: what is wrong and what to do.")
    code = serializers.CharField(help_text="Code for programs. Codes do not change.")
    errors = serializers.DictField(  # type: ignore[assignment] # a property of the base class has the same name
        child=serializers.ListField(child=serializers.CharField()), required=False, help_text="Messages by field."
    )

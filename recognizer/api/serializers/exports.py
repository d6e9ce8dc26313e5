"""Serializers of exports."""

from typing import Any

from rest_framework import serializers

from recognizer.services.data import exports


def _counts(**options: Any) -> serializers.DictField:
    return serializers.DictField(child=serializers.IntegerField(), **options)


class ExportFormatSerializer(serializers.Serializer[Any]):
    """A file format of the export."""

    format = serializers.ChoiceField(choices=exports.FORMATS)
    url = serializers.URLField(help_text="Download URL with the same filters.")


class ExportSerializer(serializers.Serializer[Any]):
    """Summary of the data that an export would contain now."""

    count = serializers.IntegerField()
    by_truth = _counts()
    by_fold = _counts(help_text="`holdout` is never used for training.")
    by_source = _counts()
    content_hash = serializers.CharField(help_text="sha256 of the data, in hexadecimal.")
    formats = ExportFormatSerializer(many=True)

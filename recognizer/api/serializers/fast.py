"""How rows are shown for a fraction of what the framework takes: serializers of answers that are asked for often."""

from collections.abc import Callable
from functools import cache
from operator import attrgetter

from rest_framework import serializers
from rest_framework.fields import Field, SkipField

# How a field is read: its name, itself, what gets its value from a row, the serializer's method if it has one, and the
# type of values that are shown as they are.
Step = tuple[str, Field, Callable[[object], object], Callable | None, type | None]
PLAIN_FIELDS = {
    serializers.BooleanField: bool,
    serializers.CharField: str,
    serializers.ChoiceField: str,
    serializers.FloatField: float,
    serializers.IntegerField: int,
}


# A comment and no docstring: that would stand in the OpenAPI document beside every answer.
# The framework copies all declared fields for every serializer that it makes, which takes twenty times as long as to
# show a row. Here they are copied once for each class. So what is declared inside one cannot ask for its context; the
# serializer's own methods can.
class ShowingSerializer(serializers.Serializer):
    @classmethod
    def shown(cls, instance: object, context: dict) -> dict:
        # As `cls(instance, context=context).data`. To make a field counts on its class, after which Python has to look
        # up anew whatever it knew of all serializers.
        one = cls.__new__(cls)
        one.parent, one._context = None, context  # noqa: SLF001 - its own
        return one.to_representation(instance)

    def to_representation(self, instance: object) -> dict:
        shown = {}
        for name, field, value_of, method, plain in _steps(type(self)):
            if method is not None:
                shown[name] = method(self, instance)
                continue
            try:
                value = value_of(instance)
                if type(value) is plain:
                    shown[name] = value
                    continue
                if callable(value):
                    value = value()
            except AttributeError:  # a dict, or there is nothing on the way to the value: the framework knows what then
                try:
                    value = field.get_attribute(instance)
                except SkipField:
                    continue
            shown[name] = None if value is None else field.to_representation(value)
        return shown


@cache
def _steps(kind: type[serializers.Serializer]) -> list[Step]:
    fields = [field for field in kind().fields.values() if not field.write_only]
    return [
        (
            field.field_name,
            field,
            attrgetter(field.source),
            getattr(kind, field.method_name) if isinstance(field, serializers.SerializerMethodField) else None,
            PLAIN_FIELDS.get(type(field)),
        )
        for field in fields
    ]

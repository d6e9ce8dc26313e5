"""Read-only serializers for hot endpoints."""

from collections.abc import Callable, Mapping
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

from rest_framework import serializers
from rest_framework.fields import Field, SkipField

Row = TypeVar("Row")

PLAIN_FIELDS: dict[type, type] = {
    serializers.BooleanField: bool,
    serializers.CharField: str,
    serializers.ChoiceField: str,
    serializers.FloatField: float,
    serializers.IntegerField: int,
}


class _Step(NamedTuple):
    """Reader and representation of one field.

    Attributes:
        name: Key in the result.
        field: The declared field, one instance for all serializers of the class.
        read: Gets the field's value from a row.
        method: The serializer's method, for a `SerializerMethodField`.
        plain_type: Type of the values that need no conversion.
    """

    name: str
    field: Field[Any, Any, Any, Any]
    read: Callable[[Any], Any]
    method: Callable[[Any, Any], Any] | None
    plain_type: type | None


class FastSerializer(serializers.Serializer[Row]):
    """A serializer whose fields are copied once for each class instead of once for each instance.

    The framework copies all declared fields for every serializer instance, which takes twenty times as long as to
    represent a row. Because the fields are shared, a declared field has no access to the context; the serializer's own
    methods do.

    Subclasses need a docstring of their own, because the OpenAPI document would inherit this one.
    """

    @classmethod
    def represent(cls, instance: Row, context: Mapping[str, Any]) -> dict[str, Any]:
        """Return `cls(instance, context=context).data` without the cost of an instance.

        `Field.__new__` and `Field.__init__` count instances on the class, which invalidates CPython's attribute caches
        of all serializers.
        """
        serializer = cls.__new__(cls)
        serializer.parent = None  # type: ignore[assignment] # a root has no parent
        serializer._context = context  # noqa: SLF001 - of the class itself
        return serializer.to_representation(instance)

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """Return the fields of the row, equal to what the framework's serializer returns."""
        data: dict[str, Any] = {}
        for name, field, read, method, plain_type in _steps(type(self)):
            if method is not None:
                data[name] = method(self, instance)
                continue
            try:
                value = read(instance)
                if type(value) is plain_type:
                    data[name] = value
                    continue
                if callable(value):
                    value = value()
            except AttributeError:  # a dict, or None on the path to the value: the framework applies its defaults
                try:
                    value = field.get_attribute(instance)
                except SkipField:
                    continue
            data[name] = None if value is None else field.to_representation(value)
        return data


@cache
def _steps(kind: type[serializers.Serializer[Any]]) -> list[_Step]:
    """Return the readable fields of a serializer class in their order."""
    return [
        _Step(
            name=name,
            field=field,
            read=attrgetter(field.source or name),
            method=getattr(kind, field.method_name) if isinstance(field, serializers.SerializerMethodField) else None,
            plain_type=PLAIN_FIELDS.get(type(field)),
        )
        for name, field in kind().fields.items()
        if not field.write_only
    ]

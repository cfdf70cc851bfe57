"""JSON text to frozen dataclass, refusing what the class does not declare. Layers read `param_str` with it."""

import dataclasses
import json
import types
import typing

from attscale.errors import UserError


def decode(cls, text):
    """Reads the JSON object `text` into the dataclass `cls`.

    Fields may be int, float, bool, str, `X | None` and homogeneous `tuple[X, ...]`. Raises UserError, naming the
    key and the value, for broken JSON, unknown and missing keys, and values of another type.
    """
    try:
        values = json.loads(text or "{}")
    except json.JSONDecodeError as error:
        raise UserError(f"{cls.__name__}: {text!r} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise UserError(f"{cls.__name__}: expected a JSON object, got {text!r}")
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    if unknown := sorted(set(values) - set(fields)):
        raise UserError(f"{cls.__name__}: unknown key {unknown[0]!r}; it knows {', '.join(fields)}")
    required = {name for name, field in fields.items() if field.default is dataclasses.MISSING}
    if missing := sorted(required - set(values)):
        raise UserError(f"{cls.__name__}: the key {missing[0]!r} is missing")
    return cls(**{name: _convert(cls, name, value, hints[name]) for name, value in values.items()})


def encode(options):
    """The dataclass as JSON, less the keys that hold their default; `decode` reads it back."""
    values = {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(options)
        if getattr(options, field.name) != field.default
    }
    return json.dumps(values)


def _convert(cls, name, value, hint):
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        (hint,) = (argument for argument in arguments if argument is not type(None))
        return _convert(cls, name, value, hint)
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(cls, name, item, arguments[0]) for item in value)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is hint:
        return value
    raise UserError(f"{cls.__name__}: {name} is {value!r}, expected {getattr(hint, '__name__', hint)}")

"""A model from the config of a card that somebody else wrote: every value is checked before anything is built."""

import dataclasses
import math
import os
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import numpy as np

from vast_jax.errors import UserError

if typing.TYPE_CHECKING:
    from _typeshed import DataclassInstance  # there for type checkers alone

T = TypeVar("T", bound="DataclassInstance")
WIDEST, DEEPEST = 4096, 64  # units of a layer, or an index; layers
_COUNTS_OF_LAYERS = ("strong_layers", "householder_steps")
_INDICES = ("strong", "weak")
_MAY_BE_NOTHING = ("context", "context_after", "back", "ahead", "householder_steps", *_INDICES)


def build(module: type[T], config: Mapping[str, Any], source: str | os.PathLike) -> T:
    """The module that a card's config describes.

    Args:
      module: a Linen module, or another dataclass, whose fields are annotated.
      config: values of its fields as JSON has them, lists for tuples; fields with a default may be missing.
      source: of the card, for the message.

    Raises:
      UserError: a field that the module does not have, or lacks, or a value of another type or beyond all reason.
    """
    fields = {field.name: field for field in dataclasses.fields(module) if field.name not in ("parent", "name")}
    needed = {name for name, field in fields.items() if field.default is field.default_factory is dataclasses.MISSING}
    if not isinstance(config, Mapping) or not needed <= set(config) <= set(fields):
        raise UserError(f"{source}: made by another version of vast_jax; train it again")
    for name, value in config.items():
        if not _fits(fields[name].type, value, name):
            raise UserError(f"{source}: its card asks for {name} = {repr(value)[:60]}, which no model here has")
    built = module(**{name: tuple(value) if isinstance(value, list) else value for name, value in config.items()})
    for width, heads in (("width", "heads"), ("strong_width", "strong_heads")):
        if heads in fields and getattr(built, width) % getattr(built, heads):
            raise UserError(f"{source}: its card asks for {heads} that do not share {width} evenly; train it again")
    return built


def _fits(kind: Any, value: Any, name: str) -> bool:
    """Whether a value is of an annotated type and within reason."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return isinstance(value, str) and value in inner
    if origin in (typing.Union, types.UnionType):
        return any(_fits(option, value, name) for option in inner)
    if origin in (tuple, Sequence):
        if not isinstance(value, list | tuple) or len(value) > (WIDEST if name in _INDICES else DEEPEST):
            return False
        if origin is tuple and inner[-1] is not Ellipsis and len(value) != len(inner):
            return False
        return all(_fits(inner[0], item, name) for item in value)
    if kind is int:
        least = 0 if name in _MAY_BE_NOTHING else 1
        return type(value) is int and least <= value <= (DEEPEST if name in _COUNTS_OF_LAYERS else WIDEST)
    if kind is float:  # shares, all of them
        return type(value) in (int, float) and math.isfinite(value) and 0 <= value <= 1
    if kind is str:
        return isinstance(value, str) and len(value) <= DEEPEST
    return (kind is bool and isinstance(value, bool)) or (kind in (None, type(None)) and value is None)


def check_constants(
    constants: Mapping[str, Any],
    shapes: Mapping[str, tuple[int | None, ...]],
    source: str | os.PathLike,
    optional: Mapping[str, tuple[int | None, ...]] = types.MappingProxyType({}),
) -> None:
    """UserError where a named array is missing, is no array of numbers or has another shape; None is any length."""
    for name, shape in {**shapes, **optional}.items():
        if name not in constants:
            if name in shapes:
                raise UserError(f"{source}: its constants lack {name}; made by another version of vast_jax")
            continue
        array = constants[name]
        found = array.shape if isinstance(array, np.ndarray) and array.dtype.kind in "fiu" else "no array of numbers"
        if len(found) != len(shape) or any(n not in (None, m) for n, m in zip(shape, found, strict=True)):
            raise UserError(f"{source}: its {name} is {found}, needed {shape}; export it again")

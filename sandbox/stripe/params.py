"""Reads form-encoded parameters and holds them against what an endpoint knows.

A spec is a table: name → kind; a name that ends in "!" must be given. Kinds:
  "text"      a string, not empty             "text?"   a string; empty unsets it (None)
  "int"       an integer                      "bool"    true or false
  "url"       an http or https address        "range"   an integer, or {gt, gte, lt, lte}
  "metadata"  a table of strings; empty values unset a key, the empty string all of them
  (…)         one of these words              [kind]    a list          {…}  a nested table
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sandbox.stripe.errors import Json, invalid

Spec = Mapping[str, Any]

LISTING: Spec = {"limit": "int", "starting_after": "text", "ending_before": "text"}
"""What every list accepts beside its own filters."""
FOR_CHARGE: Spec = {**LISTING, "charge": "text", "payment_intent": "text", "created": "range"}
"""What lists of things about a charge accept."""


@dataclass(frozen=True)
class Endpoint:
    """One call of the API: `run(tx, params, **path values)` returns the object to answer with."""

    method: str
    path: str
    spec: Spec
    run: Callable[..., Json]


def nest(pairs: Iterable[tuple[str, str]]) -> Json:
    """Turn `a[b][0]=x` pairs into nested tables; a list is a table keyed by index until a spec asks for a list."""
    tree: Json = {}
    for name, value in pairs:
        parts = re.findall(r"[^\[\]]+|(?<=\[)(?=\])", name)
        at = tree
        for depth, part in enumerate(parts[:-1]):
            at = at.setdefault(part, {})
            if not isinstance(at, dict):
                raise invalid("Invalid parameter encoding", "".join(parts[: depth + 1]))
        last = parts[-1] if parts else name
        at[last if last else str(len(at))] = value
    return tree


def check(spec: Spec, given: Json, path: str = "") -> Json:
    """Return the parameters with their types, or raise the 400 that Stripe gives for the first wrong one."""
    known = {name.rstrip("!"): kind for name, kind in spec.items()}
    for name in given:
        if name not in known:
            shown = _join(path, name)
            raise invalid(f"Received unknown parameter: {shown}", shown, "parameter_unknown")
    for name in spec:
        if name.endswith("!") and name[:-1] not in given:
            shown = _join(path, name[:-1])
            raise invalid(f"Missing required param: {shown}.", shown, "parameter_missing")
    return {name: _convert(known[name], value, _join(path, name)) for name, value in given.items()}


def merge_metadata(old: Json, change: Json | None) -> Json:
    """Apply a metadata parameter: None clears all, an empty value removes its key."""
    return {} if change is None else {k: v for k, v in {**old, **change}.items() if v != ""}


def _join(path: str, name: str) -> str:
    return f"{path}[{name}]" if path else name


def _convert(kind: Any, value: Any, param: str) -> Any:
    if isinstance(kind, dict):
        return check(kind, _table(value, param), param)
    if isinstance(kind, list):
        rows = _table(value, param)
        return [_convert(kind[0], rows[key], f"{param}[{key}]") for key in sorted(rows, key=_index(param))]
    if kind == "metadata":
        return None if value == "" else _metadata(_table(value, param), param)
    if kind == "range":
        if isinstance(value, dict):
            return check(dict.fromkeys(("gt", "gte", "lt", "lte"), "int"), value, param)
        return {"gte": _integer(value, param), "lte": _integer(value, param)}
    if isinstance(value, dict):
        raise invalid("Invalid string: {...}", param)
    return _scalar(kind, value, param)


def _scalar(kind: Any, value: str, param: str) -> Any:
    if value == "":
        if kind == "text?":
            return None
        raise invalid(
            f"You passed an empty string for '{param}'. We assume empty values are an attempt to unset a parameter; "
            f"however '{param}' cannot be unset. You should remove '{param}' from your request or supply a "
            "non-empty value.",
            param,
            "parameter_invalid_empty",
        )
    if kind == "int":
        return _integer(value, param)
    if kind == "bool":
        if value not in ("true", "false"):
            raise invalid(f"Invalid boolean: {value}", param)
        return value == "true"
    if kind == "url" and (urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).netloc):
        raise invalid("Not a valid URL", param, "url_invalid")
    if isinstance(kind, tuple) and value not in kind:
        raise invalid(f"Invalid {param}: must be one of {', '.join(kind)}", param)
    return value


def _table(value: Any, param: str) -> Json:
    if not isinstance(value, dict):
        raise invalid(f"Invalid object: {param}", param)
    return value


def _index(param: str) -> Callable[[str], int]:
    def position(key: str) -> int:
        if not key.isdigit():
            raise invalid("Invalid array", param)
        return int(key)

    return position


def _integer(value: Any, param: str) -> int:
    if not isinstance(value, str) or not re.fullmatch(r"-?[0-9]{1,18}", value):
        raise invalid(f"Invalid integer: {value}", param, "parameter_invalid_integer")
    return int(value)


def _metadata(table: Json, param: str) -> Json:
    """At most 50 keys of 40 characters with values of 500 (https://docs.stripe.com/api/metadata)."""
    if len(table) > 50:
        raise invalid("Metadata can have at most 50 keys.", param)
    for key, value in table.items():
        shown = f"{param}[{key}]"
        if not isinstance(value, str):
            raise invalid(f"Invalid string: {shown}", shown)
        if len(key) > 40:
            raise invalid(f"Metadata keys can have up to 40 characters, but this one has {len(key)}: {key}", shown)
        if len(value) > 500:
            raise invalid(f"Metadata values can have up to 500 characters, but this one has {len(value)}.", shown)
    return table

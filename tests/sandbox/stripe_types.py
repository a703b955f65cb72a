"""Holds objects of the sandbox's Stripe against two yardsticks: Stripe's own examples, and the library's typed classes.

The examples (stripe_shapes.json) say which keys there are; the library's annotations, read from its source, say which
fields its version knows, which of them may be null or absent, and of which types they are.
"""

import ast
import inspect
import json
import sqlite3
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import stripe

TABLE: dict[str, dict[str, str]] = json.loads((Path(__file__).parent / "stripe_shapes.json").read_text())["kinds"]
CLASSES = {
    "account": "Account",
    "balance": "Balance",
    "balance_transaction": "BalanceTransaction",
    "charge": "Charge",
    "checkout.session": "checkout.Session",
    "customer": "Customer",
    "dispute": "Dispute",
    "event": "Event",
    "item": "LineItem",
    "payment_intent": "PaymentIntent",
    "payment_method": "PaymentMethod",
    "payout": "Payout",
    "price": "Price",
    "refund": "Refund",
    "setup_intent": "SetupIntent",
    "webhook_endpoint": "WebhookEndpoint",
}
OPEN = ("metadata", "last_payment_error", "last_setup_error", "next_action", "previous_attributes", "data.object")
"""What is not looked into by the examples: it has other keys from case to case."""
DIFFERENCES: dict[str, dict[str, str]] = json.loads((Path(__file__).parent / "stripe_differences.json").read_text())[
    "kinds"
]
"""Kind → path → why the sandbox differs from the examples, as the library does; docs/sandbox.md lists them."""
SIMPLE: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "str": (str,),
    "bool": (bool,),
    "float": (int, float),
    "Decimal": (str,),
}


def strangers(one: dict[str, Any]) -> list[str]:
    """What is wrong with an object, as sentences; [] when nothing is."""
    kind = one["object"]
    if one.get("deleted"):
        return [] if set(one) == set(TABLE[f"deleted_{kind}"]) else [f"deleted {kind} has {sorted(one)}"]
    if kind in ("list", "search_result"):
        return [said for each in one["data"] for said in strangers(each)]
    wrong = [f"{kind}: {said}" for said in by_example(kind, one)]
    return wrong + [f"{kind}.{said}" for said in by_library(CLASSES[kind], one)]


def by_example(kind: str, one: dict[str, Any]) -> Iterator[str]:
    """Keys that Stripe's example has not or has besides, and types that differ, but for the listed differences."""
    table, listed = TABLE[kind], DIFFERENCES.get(kind, ())
    wanted: dict[str, set[str]] = {}
    for path in table:
        parent, _, key = path.rpartition(".")
        if key.endswith("[]"):
            continue
        wanted.setdefault(parent, set()).add(key)
    for path, value in _objects("", one):
        if path and table.get(path.rstrip("[]") if path not in table else path) != "object":
            continue
        for key in set(value) ^ wanted.get(path, set()):
            name = f"{path}.{key}" if path else key
            if name not in listed:
                yield f"{name} is {'no key' if key in value else 'a key'} of Stripe's example"
        for key in set(value) & wanted.get(path, set()):
            name = f"{path}.{key}" if path else key
            got, example = _name(value[key]), table[name]
            if got != example and "null" not in (got, example) and name not in listed:
                yield f"{name} is {got}, in Stripe's example {example}"


def _objects(path: str, value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if path in OPEN or path.endswith(".metadata"):
        return
    if isinstance(value, dict):
        if path and isinstance(value.get("object"), str) and value["object"] in CLASSES:
            return  # an object of its own, looked at by itself
        yield path, value
        for key, each in value.items():
            yield from _objects(f"{path}.{key}" if path else key, each)
    if isinstance(value, list):
        for each in value:
            yield from _objects(f"{path}[]", each)


def _name(value: Any) -> str:
    names = {bool: "bool", int: "int", float: "float", str: "str", type(None): "null", list: "list", dict: "object"}
    return names[type(value)]


Scope = tuple[dict[str, Any], ...]


@cache
def _class(name: str) -> ast.ClassDef:
    found: Any = stripe
    for part in name.split("."):
        found = getattr(found, part)
    tree = ast.parse(Path(inspect.getsourcefile(found) or "").read_text())
    return next(each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == found.__name__)


def by_library(name: str, one: dict[str, Any]) -> list[str]:
    """Fields that the library's class does not know, lacks, or types otherwise."""
    return list(_check_class(_class(name), (), one, ""))


def _check_class(node: ast.ClassDef, outer: tuple[ast.ClassDef, ...], one: Any, path: str) -> Iterator[str]:
    if not isinstance(one, dict):
        yield f"{path} is {_name(one)}, the library has an object"
        return
    fields = {each.target.id: each.annotation for each in node.body if _is_field(each)}  # type: ignore[attr-defined]
    for key, value in one.items():
        if key not in fields:
            yield f"{path}{key} is unknown to the library"
        else:
            yield from _check(fields[key], (node, *outer), value, f"{path}{key}")
    for key, annotation in fields.items():
        if key not in one and not ast.unparse(annotation).startswith("Optional["):
            yield f"{path}{key} is missing, the library always has it"


def _is_field(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and not node.target.id.startswith("_")
        and "ClassVar" not in ast.unparse(node.annotation)
    )


def _check(kind: ast.expr, scope: tuple[ast.ClassDef, ...], value: Any, path: str) -> Iterator[str]:
    text = ast.unparse(kind).strip("'")
    if isinstance(kind, ast.Constant) and isinstance(kind.value, str):
        yield from _check(ast.parse(kind.value, mode="eval").body, scope, value, path)
    elif text.startswith("Optional["):
        assert isinstance(kind, ast.Subscript)
        if value is not None:
            yield from _check(kind.slice, scope, value, path)
    elif value is None:
        yield f"{path} is null, the library has {text}"
    elif text.startswith("Literal["):
        assert isinstance(kind, ast.Subscript)
        words = [each.value for each in ast.walk(kind.slice) if isinstance(each, ast.Constant)]
        if value not in words:
            yield f"{path} is {value!r}, the library has {text[:80]}"
    elif text.startswith("Union["):
        assert isinstance(kind, ast.Subscript)
        assert isinstance(kind.slice, ast.Tuple)
        if all(list(_check(each, scope, value, path)) for each in kind.slice.elts):
            yield f"{path} fits none of {text[:80]}"
    elif text.startswith("ExpandableField["):
        if not isinstance(value, str) and not (isinstance(value, dict) and "object" in value):
            yield f"{path} is no id and no object"
    elif text.startswith(("List[", "ListObject[")):
        assert isinstance(kind, ast.Subscript)
        items = value["data"] if isinstance(value, dict) else value
        for each in items:
            yield from _check(kind.slice, scope, each, f"{path}[]")
    elif text in SIMPLE:
        if type(value) not in SIMPLE[text]:
            yield f"{path} is {_name(value)}, the library has {text}"
    elif isinstance(kind, (ast.Name, ast.Attribute)):
        found = _find(text, scope)
        if found is not None:
            yield from _check_class(found, scope, value, f"{path}.")


def _find(name: str, scope: tuple[ast.ClassDef, ...]) -> ast.ClassDef | None:
    """A nested class, seen from where it is named, or one of the library's own."""
    last = name.split(".")[-1]
    for outer in scope:
        for each in outer.body:
            if isinstance(each, ast.ClassDef) and each.name == last:
                return each
    return _class(last) if hasattr(stripe, last) and last not in ("StripeObject", "UntypedStripeObject") else None


def everything(file: Path) -> Iterator[dict[str, Any]]:
    """Every object and event in a sandbox's file, and the objects in the events."""
    db = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    for (body,) in db.execute("SELECT body FROM objects").fetchall():
        one = json.loads(body)
        yield one
        if one["object"] == "event" and one["data"]["object"].get("object") in CLASSES:
            yield one["data"]["object"]
    db.close()

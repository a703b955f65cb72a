"""Derives stripe_shapes.json: which keys Stripe's example objects have, and of which types.

python tests/sandbox/derive_stripe_shapes.py path/to/fixtures3.json > tests/sandbox/stripe_shapes.json

The examples are published by Stripe with its OpenAPI description under the MIT licence (github.com/stripe/openapi);
they themselves are not kept here, only names of keys and of types.
"""

import json
import sys
from pathlib import Path
from typing import Any

KINDS = (
    "account",
    "balance",
    "balance_transaction",
    "charge",
    "checkout.session",
    "customer",
    "deleted_customer",
    "deleted_webhook_endpoint",
    "dispute",
    "event",
    "item",
    "payment_intent",
    "payment_method",
    "payout",
    "price",
    "refund",
    "setup_intent",
    "webhook_endpoint",
)
NOTICE = (
    "Derived from example objects that Stripe publishes with its OpenAPI description. MIT License, Copyright (c) "
    "Stripe, Inc. Permission is hereby granted, free of charge, to any person obtaining a copy of this software and "
    "associated documentation files (the 'Software'), to deal in the Software without restriction, including without "
    "limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the "
    "Software, and to permit persons to whom the Software is furnished to do so, subject to the following conditions: "
    "The above copyright notice and this permission notice shall be included in all copies or substantial portions of "
    "the Software. THE SOFTWARE IS PROVIDED 'AS IS', WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT "
    "NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO "
    "EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN "
    "ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR "
    "OTHER DEALINGS IN THE SOFTWARE."
)
NAMES = {bool: "bool", int: "int", float: "float", str: "str", type(None): "null", list: "list", dict: "object"}


def shape(value: Any, path: str = "") -> dict[str, str]:
    """Every path of an object (dots between keys, [] for the elements of a list) with the name of its type."""
    found = {path: NAMES[type(value)]} if path else {}
    if isinstance(value, dict):
        for key, each in value.items():
            found |= shape(each, f"{path}.{key}" if path else key)
    if isinstance(value, list):
        for each in value[:1]:
            found |= shape(each, f"{path}[]")
    return found


def derive(fixtures: dict[str, Any]) -> dict[str, Any]:
    """The table: for each kind of object its paths; of an event without the object that it is about."""
    kinds = {kind: dict(sorted(shape(fixtures["resources"][kind]).items())) for kind in KINDS}
    kinds["event"] = {path: type for path, type in kinds["event"].items() if not path.startswith("data.object.")}
    return {"notice": NOTICE, "kinds": kinds}


if __name__ == "__main__":
    json.dump(derive(json.loads(Path(sys.argv[1]).read_text())), sys.stdout, indent=1)
    print()

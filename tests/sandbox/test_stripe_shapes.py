"""Every object has the fields that Stripe's API of this version has, and every parameter is one that it knows."""

import ast
import inspect
import re
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
import stripe
import stripe.params
import stripe.params.checkout
from typing_extensions import is_typeddict

from sandbox.stripe.params import Endpoint
from sandbox.stripe.routes import ENDPOINTS
from tests.sandbox.emulator import Emulator
from tests.sandbox.stripe_types import CLASSES, DIFFERENCES, TABLE, _class, _is_field, by_library, strangers

ROOT = Path(__file__).parent.parent.parent
LIST_PARAMS = ("limit", "starting_after", "ending_before")
RESOURCES = {
    "account": "Account",
    "accounts": "Account",
    "balance": "Balance",
    "balance_transactions": "BalanceTransaction",
    "charges": "Charge",
    "customers": "Customer",
    "disputes": "Dispute",
    "events": "Event",
    "payment_intents": "PaymentIntent",
    "payment_methods": "PaymentMethod",
    "payouts": "Payout",
    "refunds": "Refund",
    "setup_intents": "SetupIntent",
    "webhook_endpoints": "WebhookEndpoint",
}
VERBS = ("confirm", "cancel", "attach", "detach", "search", "expire", "close")
GONE = {
    "payment_method_types": "taken away by this version; the sandbox knows it in order to refuse it in Stripe's words"
}


def made(client: stripe.StripeClient, emulator: Emulator) -> dict[str, Any]:
    """One object of every kind, as it comes over the wire."""
    customer = client.v1.customers.create()
    paid = client.v1.payment_intents.create(
        params={"amount": 500, "currency": "usd", "payment_method": "pm_card_createDispute", "confirm": True}
    )
    other = client.v1.payment_intents.create(
        params={"amount": 500, "currency": "usd", "payment_method": "pm_card_bypassPending", "confirm": True}
    )
    session = client.v1.checkout.sessions.create(
        params={
            "mode": "payment",
            "success_url": "http://127.0.0.1:9/",
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {"currency": "usd", "unit_amount": 500, "product_data": {"name": "Invoice"}},
                }
            ],
        }
    )
    for _ in range(2):
        client.v1.payment_intents.create(
            params={"amount": 5000, "currency": "usd", "payment_method": "pm_card_bypassPending", "confirm": True}
        )
    (payout,) = requests.post(f"{emulator.url}/sandbox/payouts", json={}, timeout=5).json()["data"]
    paths = {
        "account": "/v1/account",
        "balance": "/v1/balance",
        "charge": f"/v1/charges/{paid.latest_charge}",
        "checkout.session": f"/v1/checkout/sessions/{session.id}",
        "customer": f"/v1/customers/{customer.id}",
        "dispute": f"/v1/disputes/{client.v1.disputes.list().data[0].id}",
        "event": f"/v1/events/{client.v1.events.list().data[0].id}",
        "payment_intent": f"/v1/payment_intents/{paid.id}",
        "payment_method": f"/v1/payment_methods/{paid.payment_method}",
        "payout": f"/v1/payouts/{payout['id']}",
        "refund": f"/v1/refunds/{client.v1.refunds.create(params={'payment_intent': other.id}).id}",
        "setup_intent": f"/v1/setup_intents/{client.v1.setup_intents.create().id}",
        "webhook_endpoint": f"/v1/webhook_endpoints/{client.v1.webhook_endpoints.list().data[0].id}",
    }
    found: dict[str, Any] = {kind: emulator.call("GET", path).json() for kind, path in paths.items()}
    movement = found["charge"]["balance_transaction"]
    found["balance_transaction"] = emulator.call("GET", f"/v1/balance_transactions/{movement}").json()
    (found["item"],) = emulator.call("GET", f"/v1/checkout/sessions/{session.id}/line_items").json()["data"]
    return found | {"price": found["item"]["price"]}


def test_no_field_is_missing_and_none_invented(client: stripe.StripeClient, emulator: Emulator) -> None:
    objects = made(client, emulator)
    assert set(objects) == set(CLASSES)
    assert {kind: one["object"] for kind, one in objects.items()} == {kind: kind for kind in CLASSES}
    assert [said for one in objects.values() for said in strangers(one)] == []


def test_what_is_wrong_is_noticed(client: stripe.StripeClient, emulator: Emulator) -> None:
    good = emulator.call("POST", "/v1/customers").json()
    lacking = {key: value for key, value in good.items() if key != "created"}
    assert "customer: created is a key of Stripe's example" in strangers(lacking)
    assert "customer.created is missing, the library always has it" in strangers(lacking)
    assert "customer: loyalty is no key of Stripe's example" in strangers(good | {"loyalty": 7})
    assert "customer.loyalty is unknown to the library" in strangers(good | {"loyalty": 7})
    assert "customer.created is str, the library has int" in strangers(good | {"created": "now"})
    assert "customer: created is str, in Stripe's example int" in strangers(good | {"created": "now"})
    assert by_library("Customer", good | {"tax_exempt": None}) == []
    assert "customer.livemode is null, the library has bool" in strangers(good | {"livemode": None})


def test_every_difference_is_real_known_to_the_library_and_documented() -> None:
    page = (ROOT / "docs" / "sandbox.md").read_text()
    for kind, listed in DIFFERENCES.items():
        for path, why in listed.items():
            assert f"| `{kind}` | `{path}` | {why} |" in page
            in_example = path in TABLE[kind]
            assert in_example == (path == "connect_reserved"), path
            node = _class(CLASSES[kind])
            first = path.split(".")[0]
            assert first in {each.target.id for each in node.body if _is_field(each)}  # type: ignore[attr-defined]
    assert f"`{stripe.api_version}`" in page


@pytest.mark.parametrize("path", ["customers", "payment_intents", "setup_intents", "checkout/sessions", "charges"])
def test_a_list_is_a_list(emulator: Emulator, path: str) -> None:
    answer: requests.Response = emulator.call("GET", f"/v1/{path}")
    assert answer.json() == {"object": "list", "data": [], "has_more": False, "url": f"/v1/{path}"}


def params_of(endpoint: Endpoint) -> Any:
    """The library's TypedDict of an endpoint's parameters, by the name that the library gives it."""
    parts = endpoint.path.removeprefix("/v1/").split("/")
    module: Any = stripe.params
    if parts[0] == "checkout":
        module, parts = stripe.params.checkout, parts[1:]
        name = "Session"
    else:
        name = RESOURCES[parts[0]]
    if parts[-1] == "line_items":
        return module.SessionListLineItemsParams
    if "payment_methods" in parts[1:]:
        return (
            module.CustomerListPaymentMethodsParams if parts[-1] == "payment_methods" else module.CustomerRetrieveParams
        )
    single = parts[-1] == "<id>"
    if parts[-1] in VERBS:
        verb = parts[-1].capitalize()
    elif endpoint.method == "DELETE":
        verb = "Delete"
    elif endpoint.method == "GET":
        verb = "Retrieve" if single or parts[-1] in ("account", "balance") else "List"
    else:
        verb = "Update" if single else "Create"
    return getattr(module, f"{name}{verb}Params")


def unknown(spec: Any, kind: Any, path: str = "") -> list[str]:
    """The names of a spec that the library's TypedDict has not, with the tables in it."""
    hints = typing.get_type_hints(kind, localns={"StripeContext": object, "Mapping": Mapping})
    found = []
    for name, inner in spec.items():
        name = name.rstrip("!")
        if name not in hints:
            found.append(f"{path}{name}")
            continue
        table = inner[0] if isinstance(inner, list) else inner
        if isinstance(table, dict):
            nested = [one for one in _inside(hints[name]) if is_typeddict(one)]
            tables = [unknown(table, one, f"{path}{name}.") for one in nested]
            found += min(tables, key=len) if tables else [f"{path}{name} is no table"]
    return found


def _inside(hint: Any) -> list[Any]:
    return [hint, *(one for argument in typing.get_args(hint) for one in _inside(argument))]


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda one: f"{one.method} {one.path}")
def test_every_parameter_is_known_to_the_library(endpoint: Endpoint) -> None:
    strange = unknown(endpoint.spec, params_of(endpoint))
    assert [name for name in strange if name not in GONE] == []


def test_a_parameter_that_the_library_does_not_know_is_noticed() -> None:
    kind = stripe.params.CustomerCreateParams
    assert unknown({"name": "text", "nickname": "text"}, kind) == ["nickname"]
    assert unknown({"address": {"city": "text", "planet!": "text"}}, kind) == ["address.planet"]


def test_every_event_is_one_that_stripe_has() -> None:
    source = "".join(path.read_text() for path in (ROOT / "sandbox" / "stripe").glob("*.py"))
    sent = set(re.findall(r'emit\(\s*tx,\s*"([a-z_.]+)"', source))
    sent |= {f"charge.dispute.{each}" for each in re.findall(r'_tell\(tx, "([a-z_]+)"', source)}
    assert len(sent) >= 39
    params = inspect.getsourcefile(stripe.params.WebhookEndpointCreateParams)
    tree = ast.parse(Path(params or "").read_text())
    known = {one.value for one in ast.walk(tree) if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    assert sent - known == set()


@pytest.mark.parametrize(
    ("method", "path"),
    [(one.method, re.sub("<[a-z]+>", "x_1", one.path)) for one in ENDPOINTS if one.method != "DELETE"],
)
def test_a_parameter_that_nobody_knows_is_refused(emulator: Emulator, method: str, path: str) -> None:
    answer = emulator.call(method, path, nonsense="1")
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("parameter_unknown", "nonsense")

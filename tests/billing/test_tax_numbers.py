"""Tax numbers: their format, what VIES says of them, and that reverse charge rests on both."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from sqlalchemy import Row, select

from base.business import Business
from base.database import transaction
from base.tables import subscriber, trail
from billing.refused import Refused
from billing.tax_numbers import Answer, ask_vies, check_format, seller_country, set_tax_treatment
from tests.billing.provider import Provider

TODAY = date(2026, 6, 15)


@contextmanager
def vies(body: bytes, status: int = 200) -> Iterator[tuple[str, list[str]]]:
    """A server on this machine that answers everything alike: its address, and the paths it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/rest-api", asked
        finally:
            server.shutdown()
            thread.join()


def said(valid: bool, error: str) -> bytes:
    return json.dumps({"isValid": valid, "userError": error, "name": "---", "address": "---"}).encode()


@pytest.mark.parametrize(
    ("country", "typed", "kept"),
    [
        ("DE", "136 695 976", "DE136695976"),
        ("de", "de 136.695.976", "DE136695976"),
        ("FR", "FR 40 303 265 045", "FR40303265045"),
        ("AT", "U13585627", "ATU13585627"),
        ("GR", "094259216", "EL094259216"),
        ("GR", "GR 094259216", "EL094259216"),
        ("GR", "EL094259216", "EL094259216"),
        ("XI", "XI 980780684", "XI980780684"),
        ("GB", "GB 980 7806 84", "980780684"),
        ("CH", "CHE-107.787.577 IVA", "CHE107787577IVA"),
    ],
)
def test_a_number_is_kept_as_documents_write_it(country: str, typed: str, kept: str):
    assert check_format(country, typed) == kept


@pytest.mark.parametrize(
    ("country", "typed"),
    [
        ("DE", "136695978"),  # the last digit is off by two
        ("DE", "ATU13585627"),
        ("DE", "DE"),
        ("DE", ""),
        ("DE", "٠١٢٣٤٥٦٧٨"),
        ("GB", "980780685"),
        ("US", "12-3456789"),  # no VAT there
        ("EU", "DE136695976"),
        ("", "136695976"),
        ("D", "136695976"),
        ("../", "136695976"),
    ],
)
def test_what_is_not_a_number_of_the_country_is_told(country: str, typed: str):
    assert check_format(country, typed) is None


@pytest.mark.parametrize(
    ("body", "status", "answer"),
    [
        (said(True, "VALID"), 200, "valid"),
        (said(False, "INVALID"), 200, "invalid"),
        (said(False, "INVALID_INPUT"), 200, "invalid"),
        (said(False, "MS_UNAVAILABLE"), 200, "unavailable"),
        (said(False, "MS_MAX_CONCURRENT_REQ"), 200, "unavailable"),
        (said(True, "TIMEOUT"), 200, "unavailable"),
        (b'{"isValid": "yes", "userError": "VALID"}', 200, "unavailable"),
        (b"[]", 200, "unavailable"),
        (b"<html>", 200, "unavailable"),
        (b"\xff\xfe\x00", 200, "unavailable"),
        (said(True, "VALID"), 503, "unavailable"),
    ],
)
def test_only_an_answer_is_taken_for_one(body: bytes, status: int, answer: str):
    with vies(body, status) as (address, asked):
        assert ask_vies("EL", "094/25", address) == answer
    assert asked == ["/rest-api/ms/EL/vat/094%2F25"]


def test_a_service_that_is_away_does_not_raise():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        assert ask_vies("DE", "136695976", f"http://127.0.0.1:{taken.getsockname()[1]}") == "unavailable"
    assert ask_vies("DE", "136695976", "no address") == "unavailable"


def test_a_service_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("billing.tax_numbers.VIES_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert ask_vies("DE", "136695976", f"http://127.0.0.1:{silent.getsockname()[1]}") == "unavailable"


def treat(subscriber_id: int, treatment: str, answer: Answer | None = None, **values: str) -> list[tuple[str, str]]:
    """Set a treatment while VIES says `answer` (None: it is not to be asked); returns what VIES was asked."""
    asked = []

    def ask(country: str, number: str) -> Answer:
        asked.append((country, number))
        assert answer is not None
        return answer

    with transaction() as tx:
        set_tax_treatment(
            tx, "staff:1", subscriber_id, treatment, today=TODAY, vies=None if answer is None else ask, **values
        )
    return asked


def kept(subscriber_id: int) -> Row[tuple[str, str, str, date | None, str, str]]:
    with transaction() as tx:
        return tx.execute(
            select(
                subscriber.c.tax_treatment,
                subscriber.c.tax_number,
                subscriber.c.tax_number_check,
                subscriber.c.tax_number_checked_on,
                subscriber.c.country,
                subscriber.c.exemption_reason,
            ).where(subscriber.c.id == subscriber_id)
        ).one()


def test_reverse_charge_keeps_what_was_found_and_when(provider: Provider):
    anna = provider.subscriber()
    asked = treat(anna, "reverse_charge", "valid", tax_number="094 259 216", country="gr")
    assert asked == [("EL", "094259216")]
    assert kept(anna) == ("reverse_charge", "EL094259216", "vies", TODAY, "GR", "")
    treat(anna, "reverse_charge", "unavailable", tax_number="094259216")
    assert kept(anna) == ("reverse_charge", "EL094259216", "format", TODAY, "GR", "")
    with transaction() as tx:
        query = select(trail.c.actor, trail.c.detail).where(trail.c.act == "subscriber.tax_treatment_set")
        deeds = [tuple(row) for row in tx.execute(query.order_by(trail.c.id))]
    number = {"treatment": "reverse_charge", "tax_number": "EL094259216"}
    assert deeds == [
        ("staff:1", {**number, "check": "vies", "vies": "valid"}),
        ("staff:1", {**number, "check": "format", "vies": "unavailable"}),
    ]


def test_reverse_charge_asks_the_real_way(provider: Provider):
    anna = provider.subscriber()
    with vies(said(True, "VALID")) as (address, asked), transaction() as tx:
        set_tax_treatment(
            tx, "staff:1", anna, "reverse_charge", tax_number="136695976", country="DE", today=TODAY,
            vies=partial(ask_vies, base_url=address),
        )  # fmt: skip
    assert asked == ["/rest-api/ms/DE/vat/136695976"]
    assert kept(anna).tax_number_check == "vies"


def test_outside_the_union_and_without_vies_the_format_must_do(provider: Provider):
    anna = provider.subscriber()
    assert treat(anna, "reverse_charge", "invalid", tax_number="CHE-107.787.577 IVA", country="CH") == []
    assert kept(anna) == ("reverse_charge", "CHE107787577IVA", "format", TODAY, "CH", "")
    treat(anna, "reverse_charge", None, tax_number="136695976", country="DE")
    assert kept(anna) == ("reverse_charge", "DE136695976", "format", TODAY, "DE", "")


@pytest.mark.parametrize(
    ("answer", "values", "words", "field"),
    [
        ("valid", {"tax_number": "136695978", "country": "DE"}, "'136695978' is not a tax number of DE", "tax_number"),
        ("invalid", {"tax_number": "136695976", "country": "DE"}, "VIES says that nobody has", "tax_number"),
        ("valid", {"country": "DE"}, "needs the subscriber's tax number", "tax_number"),
        ("valid", {"tax_number": "136695976"}, "needs the country", "country"),
    ],
)
def test_reverse_charge_without_proof_is_refused(
    provider: Provider, answer: Answer, values: dict[str, str], words: str, field: str
):
    anna = provider.subscriber()
    with pytest.raises(Refused, match=words) as refused:
        treat(anna, "reverse_charge", answer, **values)
    assert refused.value.field == field
    assert kept(anna) == ("normal", "", "", None, "", "")


def test_reverse_charge_is_for_customers_abroad(provider: Provider):
    anna = provider.subscriber()
    with pytest.raises(Refused, match="DE is your own country, so tax is charged") as refused:
        treat(anna, "reverse_charge", None, tax_number="136695976", country="DE", seller="DE")
    assert refused.value.field == "country"
    assert kept(anna) == ("normal", "", "", None, "", "")
    treat(anna, "reverse_charge", "valid", tax_number="U13585627", country="AT", seller="DE")
    assert kept(anna)[0] == "reverse_charge"


@pytest.mark.parametrize(
    ("values", "country"),
    [
        ({"company_country": "DE", "company_tax_number": "ATU13585627"}, "DE"),
        ({"company_tax_number": "ATU13585627"}, "AT"),
        ({"company_tax_number": "EL094259216"}, "GR"),
        ({"company_tax_number": "12/345/6789"}, ""),
        ({}, ""),
    ],
)
def test_the_sellers_country_is_set_or_begins_its_number(values: dict[str, str], country: str):
    assert seller_country(Business(**values)) == country


def test_an_exemption_has_a_reason(provider: Provider):
    anna = provider.subscriber()
    with pytest.raises(Refused, match="needs its reason") as refused:
        treat(anna, "exempt", reason=" ")
    assert refused.value.field == "reason"
    treat(anna, "exempt", reason="Embassy, article 151", country="DE")
    assert kept(anna) == ("exempt", "", "", None, "DE", "Embassy, article 151")


def test_back_to_normal_a_number_is_only_kept(provider: Provider):
    anna = provider.subscriber()
    treat(anna, "reverse_charge", "valid", tax_number="136695976", country="DE")
    assert treat(anna, "normal", "invalid", tax_number="as typed") == []
    assert kept(anna) == ("normal", "as typed", "", None, "DE", "")


def test_what_does_not_exist_is_refused(provider: Provider):
    anna = provider.subscriber()
    with pytest.raises(Refused, match="A treatment is one of"):
        treat(anna, "free")
    with pytest.raises(Refused, match="no such subscriber"):
        treat(anna + 1, "normal")

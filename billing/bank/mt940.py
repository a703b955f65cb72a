"""MT940 (SWIFT's customer statement, with the German field 86) as statements, through the mt-940 library. Pure.

Tags: 20 begins a statement, 25 the account, 60F/60M and 62F/62M what it held before and after, 61 a movement, 86 what
it is about. A statement without its closing balance was cut off.
"""

import logging
import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from io import StringIO
from typing import Any

from mt940 import Options
from mt940.parser import parse_statements

from base.i18n import is_currency, parse_money
from base.money import Money
from billing.bank.statement import Line, Statement, text_of
from billing.importers.cells import Fault
from billing.importers.reader import Unreadable

_BLOCK = re.compile(r"^(?=:20:)", re.MULTILINE)
_MOVEMENT = re.compile(r"^:61:", re.MULTILINE)
_CODE = re.compile(r"/(TRTP|IBAN|BIC|NAME|REMI|EREF|ORDP|BENM|ADDR|ISDT|CSID|MARF|PREF|RTRN|SVCL|PURP)/")
_RETURNED = re.compile(r"R[CD]$")

logging.getLogger("mt940").setLevel(logging.CRITICAL)  # what it cannot read we say ourselves


def read_mt940(data: bytes) -> list[Statement]:
    """The statements of a file. Raises Unreadable with every reason that is found, by line."""
    text = text_of(data).replace("\r\n", "\n").replace("\r", "\n")
    statements, faults, line = list[Statement](), list[Fault](), 1
    for block in _BLOCK.split(text):
        if block.startswith(":20:"):
            try:
                statements.append(_statement(block, line))
            except Unreadable as unreadable:
                faults += unreadable.faults
        elif (lost := _MOVEMENT.search(block)) is not None:
            at = line + block[: lost.start()].count("\n")
            faults.append(Fault(at, "", "A movement stands before any statement begins (:20:): the file was cut."))
        line += block.count("\n")
    if not statements and not faults:
        faults.append(Fault(1, "", "There is no statement (:20:) in the file."))
    if faults:
        raise Unreadable(*faults)
    return statements


def _statement(block: str, first: int) -> Statement:
    ends = [first + block[: found.start()].count("\n") for found in _MOVEMENT.finditer(block)]
    try:
        (read,) = parse_statements(StringIO(block), options=Options.all())
    except (RuntimeError, ValueError, ArithmeticError) as error:
        raise Unreadable(_fault(block, first, error)) from None
    faults = list[Fault]()
    account = str(read.data.get("account_identification") or "").strip()
    opening = _balance(read.data.get("final_opening_balance") or read.data.get("intermediate_opening_balance"))
    closing = _balance(read.data.get("final_closing_balance") or read.data.get("intermediate_closing_balance"))
    if opening is None:
        faults.append(Fault(first, "total", "The statement has no opening balance (:60F:)."))
    if closing is None:
        faults.append(Fault(first, "total", "The statement has no closing balance (:62F:): the file was cut off."))
    if len(read.transactions) != len(ends):
        sentence = f"{len(ends)} movements (:61:) begin here, but {len(read.transactions)} can be read."
        faults.append(Fault(first, "", sentence))
    if faults or opening is None:
        raise Unreadable(*faults)
    lines = []
    for at, each in zip(ends, read.transactions, strict=True):
        try:
            lines.append(_line(at, each.data, opening.currency))
        except ValueError as error:
            faults.append(Fault(at, "", str(error)))
    if faults:
        raise Unreadable(*faults)
    return Statement(first, account, opening.currency, opening, closing, tuple(lines))


def _fault(block: str, first: int, error: Exception) -> Fault:
    """The library raises RuntimeError(message, tag, value) at what it cannot read."""
    value = str(error.args[2]) if len(error.args) > 2 else ""
    at = first + (block[: block.find(value)].count("\n") if value and value in block else 0)
    said = value.split("\n", 1)[0][:40] or str(error)
    return Fault(at, "", f"This cannot be read as MT940: {said!r}.")


def _balance(balance: Any) -> Money | None:
    if balance is None:
        return None
    currency = str(balance.amount.currency)
    if not is_currency(currency):
        raise Unreadable(Fault(0, "currency", f"{currency!r} is not a currency."))
    return _money(balance.amount.amount, currency)


def _money(value: Decimal, currency: str) -> Money:
    return parse_money(f"{value:f}", currency)


def _line(at: int, data: dict[str, Any], currency: str) -> Line:
    day = data.get("entry_date") or data["date"]
    coded = _coded(data)
    text = coded.get("REMI") or " ".join(_pieces(data))
    iban = str(data.get("gvc_applicant_iban") or data.get("applicant_iban") or coded.get("IBAN", ""))
    reference = str(data.get("bank_reference") or "").strip()
    end_to_end = str(data.get("end_to_end_reference") or coded.get("EREF", "")).strip()
    return Line(
        at=at,
        day=date(day.year, day.month, day.day),
        amount=_money(data["amount"].amount, currency),
        name=_squeeze(str(data.get("applicant_name") or coded.get("NAME", ""))),
        iban=iban.replace(" ", "").upper(),
        text=_squeeze(text),
        bank_reference="" if reference == "NONREF" else reference,
        end_to_end="" if end_to_end in ("NOTPROVIDED", "NONREF") else end_to_end,
        returned=_RETURNED.fullmatch(str(data.get("status") or "")) is not None or bool(data.get("return_debit_notes")),
    )


def _pieces(data: dict[str, Any]) -> Iterator[str]:
    """What field 86 says the movement is about: the purpose where it is structured, else all of it."""
    purpose = data.get("purpose")
    if purpose:
        yield str(purpose)
        if more := data.get("additional_purpose"):
            yield str(more)
    elif details := data.get("transaction_details"):
        yield str(details).replace("\n", "")
    if ultimate := data.get("deviate_applicant"):
        yield str(ultimate)


def _coded(data: dict[str, Any]) -> dict[str, str]:
    """Field 86 in code words between slashes, as Dutch banks write it: /IBAN/NL…/NAME/…/REMI/…"""
    details = str(data.get("transaction_details") or "").replace("\n", "")
    parts = _CODE.split(details)[1:] if "/REMI/" in details or "/NAME/" in details else []
    return dict(zip(parts[::2], parts[1::2], strict=False))


def _squeeze(text: str) -> str:
    return " ".join(text.split())

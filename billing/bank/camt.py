"""CAMT.053 (ISO 20022 BankToCustomerStatement), versions 001.02 to 001.13, as statements. Pure.

Read by lxml without entities, DTD or network; a file with a DOCTYPE is refused. An entry that gathers several
transactions becomes a line for each. Booked entries only (Sts BOOK): others are not in the balance.
"""

import re
from collections.abc import Iterator
from datetime import date
from typing import Any

from lxml import etree

from base.i18n import is_currency, parse_money
from base.money import Money, total
from billing.bank.statement import Line, Statement
from billing.importers.cells import Fault
from billing.importers.reader import LARGEST, Unreadable

_NAMESPACE = re.compile(r"urn:iso:std:iso:20022:tech:xsd:(camt\.\d{3})\.001\.(\d{2})")


def read_camt(data: bytes) -> list[Statement]:
    """The statements of a file. Raises Unreadable with every reason that is found, by line."""
    root = _parse(data)
    found = _NAMESPACE.fullmatch(etree.QName(root).namespace or "")
    kind, version = (found[1], int(found[2])) if found else ("", 0)
    if kind != "camt.053" or not 2 <= version <= 13:
        what = f"{kind}.001.{version:02}" if found else etree.QName(root).localname
        sentence = f"This is {what}; we read statements: camt.053.001.02 to .13."
        raise Unreadable(Fault(root.sourceline or 1, "", sentence))
    faults: list[Fault] = []
    statements = [_statement(each, faults) for each in _all(root, "BkToCstmrStmt/Stmt")]
    if not statements and not faults:
        faults.append(Fault(1, "", "There is no statement in the file."))
    if faults:
        raise Unreadable(*faults)
    return [each for each in statements if each is not None]


def _parse(data: bytes) -> Any:
    if len(data) > LARGEST:
        raise Unreadable(Fault(0, "", f"The file has more than {LARGEST // 1_000_000} MB: divide it."))
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True)
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        sentence = f"The file is no whole XML; it was cut off or changed: {error.msg}."
        raise Unreadable(Fault(error.lineno or 0, "", sentence)) from None
    if root.getroottree().docinfo.doctype:
        raise Unreadable(Fault(1, "", "The file has a DOCTYPE, which no bank's statement has; it is not read."))
    return root


def _statement(element: Any, faults: list[Fault]) -> Statement | None:
    at = element.sourceline or 0
    account = _text(element, "Acct/Id/IBAN") or _text(element, "Acct/Id/Othr/Id")
    balances = {}
    for each in _all(element, "Bal"):
        kind = _text(each, "Tp/CdOrPrtry/Cd")
        # several of a kind: the first page's opening and the last page's closing balance hold
        if kind in ("OPBD", "PRCD", "CLBD") and not (kind != "CLBD" and kind in balances):
            balances[kind] = _amount(each, "Amt", faults)
    opening, closing = balances.get("OPBD") or balances.get("PRCD"), balances.get("CLBD")
    before = len(faults)
    lines = [line for each in _all(element, "Ntry") for line in _entry(each, faults)]
    currency = _text(element, "Acct/Ccy")
    known = [each.currency for each in (opening, closing, *(line.amount for line in lines)) if each is not None]
    currency = currency or (known[0] if known else "")
    if len(faults) > before:
        return None
    if not currency:
        faults.append(Fault(at, "currency", "Neither account, balance nor line says a currency."))
        return None
    return Statement(at, account, currency, opening, closing, tuple(lines))


def _entry(entry: Any, faults: list[Fault]) -> Iterator[Line]:
    """The lines of one booked entry."""
    status = _text(entry, "Sts/Cd") or _text(entry, "Sts")
    if status not in ("BOOK", ""):
        return
    at = entry.sourceline or 0
    day = _day(entry, faults)
    amount = _amount(entry, "Amt", faults)
    if day is None or amount is None:
        return
    returned = _text(entry, "RvslInd") in ("true", "1")
    details = _all(entry, "NtryDtls/TxDtls")
    reference = _text(entry, "AcctSvcrRef") or _text(entry, "NtryRef")
    more = _text(entry, "AddtlNtryInf")
    if len(details) <= 1:
        yield _line(details[0] if details else entry, at, day, amount, reference, more, returned)
        return
    amounts = [_detail_amount(each, amount, faults) for each in details]
    if any(each is None for each in amounts):  # the bank says only the sum: a person divides it
        texts = " ".join(_purpose(each) for each in details)
        yield Line(at, day, amount, "", "", texts, reference, "", returned)
        return
    parts = [each for each in amounts if each is not None]
    if {each.currency for each in parts} != {amount.currency} or total(parts, amount.currency) != amount:
        faults.append(Fault(at, "total", f"The {len(details)} transactions of this entry do not sum to its amount."))
        return
    for each, part in zip(details, parts, strict=True):
        own = _text(each, "Refs/AcctSvcrRef") or _text(each, "Refs/TxId") or _text(each, "Refs/InstrId")
        yield _line(each, each.sourceline or at, day, part, own or reference, "", returned)


def _line(details: Any, at: int, day: date, amount: Money, reference: str, more: str, returned: bool) -> Line:
    side = "Dbtr" if amount.minor > 0 else "Cdtr"
    end_to_end = _text(details, "Refs/EndToEndId")
    parties = f"RltdPties/{side}"
    ultimate = _party(details, f"RltdPties/Ultmt{side}")
    name = _party(details, parties)
    text = _purpose(details) or more
    if ultimate and ultimate != name:
        text = f"{text} {ultimate}".strip()
    return Line(
        at=at,
        day=day,
        amount=amount,
        name=name,
        iban=_text(details, f"{parties}Acct/Id/IBAN").replace(" ", "").upper(),
        text=text,
        bank_reference=reference,
        end_to_end="" if end_to_end == "NOTPROVIDED" else end_to_end,
        returned=returned or bool(_all(details, "RtrInf")),
    )


def _purpose(details: Any) -> str:
    """Structured references first; unstructured pieces joined as they are, because banks cut words in two."""
    pieces = [each.text or "" for each in _all(details, "RmtInf/Ustrd")]
    structured = [_squeeze(each.text or "") for each in _all(details, "RmtInf/Strd/CdtrRefInf/Ref")]
    free = [_squeeze(each.text or "") for each in _all(details, "RmtInf/Strd/AddtlRmtInf")]
    return " ".join(part for part in (*structured, _squeeze("".join(pieces)), *free) if part)


def _party(details: Any, path: str) -> str:
    return _text(details, f"{path}/Nm") or _text(details, f"{path}/Pty/Nm")


def _detail_amount(details: Any, whole: Money, faults: list[Fault]) -> Money | None:
    for path in ("Amt", "AmtDtls/TxAmt/Amt"):
        if _all(details, path):
            # a detail without a direction of its own has its entry's
            default = "DBIT" if whole.minor < 0 else "CRDT"
            return _amount(details, path, faults, default)
    return None


def _amount(element: Any, path: str, faults: list[Fault], default: str = "") -> Money | None:
    """Signed by CdtDbtInd: a debit is below zero."""
    at = element.sourceline or 0
    found = _all(element, path)
    text, currency = ((found[0].text or "").strip(), found[0].get("Ccy", "")) if found else ("", "")
    direction = _text(element, "CdtDbtInd") or default
    if not re.fullmatch(r"[0-9]{1,18}(\.[0-9]{0,5})?", text) or not is_currency(currency):
        faults.append(Fault(at, "amount", f"{text} {currency}".strip() + " is not an amount with its currency."))
        return None
    if direction not in ("CRDT", "DBIT"):
        faults.append(Fault(at, "amount", "It does not say whether the amount is a credit or a debit."))
        return None
    try:
        amount = parse_money(text, currency)
    except ValueError as error:
        faults.append(Fault(at, "amount", str(error)))
        return None
    return -amount if direction == "DBIT" else amount


def _day(entry: Any, faults: list[Fault]) -> date | None:
    text = next(
        (found for path in ("BookgDt/Dt", "BookgDt/DtTm", "ValDt/Dt", "ValDt/DtTm") if (found := _text(entry, path))),
        "",
    )
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        sentence = f"{text!r} is not a day of booking." if text else "The entry has no day of booking."
        faults.append(Fault(entry.sourceline or 0, "date", sentence))
        return None


def _all(element: Any, path: str) -> list[Any]:
    return list(element.findall("/".join(f"{{*}}{name}" for name in path.split("/"))))


def _text(element: Any, path: str) -> str:
    found = element.find("/".join(f"{{*}}{name}" for name in path.split("/")))
    return "" if found is None else _squeeze(found.text or "")


def _squeeze(text: str) -> str:
    return " ".join(text.split())

"""Business settings: rows that staff edit, read anew in every transaction; secrets among them are encrypted."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from base import trail
from base.bank import checked_bic, checked_iban
from base.branding import checked_colour, checked_country, checked_logo
from base.crypto import Vault
from base.i18n import is_language
from base.tables import business_setting


class WrongBusinessSetting(ValueError):
    """A business setting cannot be used; the message names it and says what is allowed."""


def _at_least(least: int) -> dict[str, Any]:
    return {"least": least}


def _one_of(*choices: str) -> dict[str, Any]:
    return {"choices": choices}


def _checked(by: Callable[[str], str]) -> dict[str, Any]:
    return {"check": by}


@dataclass(frozen=True)
class Business:
    """How this provider does business. One attribute per setting; the string under it is its documentation."""

    company_name: str = "My Internet Provider"
    "Name on invoices, mails and pages."
    company_address: str = ""
    "Postal address on invoices, several lines."
    company_tax_number: str = ""
    "VAT or tax number on invoices."
    company_country: str = field(default="", metadata=_checked(checked_country))
    "Country of the company, an ISO 3166-1 code of two letters such as DE; e-invoices need it."
    company_colour: str = field(default="#0b5f79", metadata=_checked(checked_colour))
    "Colour of titles, rules and boxes on documents, such as #0b5f79; dark enough to be read on white."
    company_logo: str = field(default="", repr=False, metadata=_checked(checked_logo) | {"large": True})
    "Logo on documents: a PNG or SVG of at most 200 kB as base64 text; `tollkeeper logo FILE` sets it from a file."
    invoice_footer: str = ""
    "Text at the foot of invoices and credit notes, several lines: terms, register entry, thanks."
    bank_name: str = ""
    "Bank of the account that subscribers transfer money to."
    bank_iban: str = field(default="", metadata=_checked(checked_iban))
    "IBAN of that account; in euro, invoices then carry a QR code that fills in a SEPA transfer."
    bank_bic: str = field(default="", metadata=_checked(checked_bic))
    "BIC of that bank, for transfers from abroad."
    e_invoice: str = field(default="", metadata=_one_of("", "factur-x"))
    "Data inside the PDF of an invoice: nothing, or factur-x (EN 16931, for VAT and one tax per line)."
    support_contact: str = ""
    "Phone or mail that a subscriber is told to turn to."
    mail_from: str = "billing@example.net"
    "Sender of mails."
    mails_per_minute: int = field(default=0, metadata=_at_least(0))
    "Mails that leave per minute at most, all workers together, as your mail server allows; 0: not limited."
    mail_access_changes: str = field(default="yes", metadata=_one_of("yes", "no"))
    "yes: a subscriber gets a mail when a service is suspended (only the payment pages are reached) or restored."
    dkim_selector: str = ""
    "Selector of your DKIM key, which doctor looks up in the DNS; empty: not checked."
    message_webhook_url: str = ""
    "Address that gets messages for subscribers without a working mail address, to be sent as SMS or chat; empty: none."
    message_webhook_secret: str = field(default="", repr=False, metadata={"secret": True})
    "Secret that signs those messages (header Tollkeeper-Signature)."
    currency: str = "EUR"
    "ISO 4217 currency of new subscribers and plans."
    time_zone: str = "UTC"
    "Zone whose calendar bills, due dates and midnights follow, such as Europe/Paris."
    language: str = "en"
    "Language and format of amounts and dates, such as en, en_GB or fr."
    invoice_prefix: str = "INV-"
    "Text before the invoice number; with {year} in it the numbers begin anew each year."
    credit_note_prefix: str = "CN-"
    "Text before the number of a credit note; {year} as for invoices."
    due_days: int = field(default=14, metadata=_at_least(0))
    "Days from issue until an invoice is due."
    due_from: str = field(default="issue", metadata=_one_of("issue", "period"))
    "What the due date is counted from: issue (due_days after it), or period (its first day, due_days not counted)."
    invoice_per: str = field(default="subscriber", metadata=_one_of("subscriber", "service"))
    "Whether one invoice gathers all services of a subscriber that are due together, or each has its own."
    paper_fee: int = field(default=0, metadata=_at_least(0))
    "Charged for an invoice that a subscriber has on paper by choice, in the smallest unit of the currency; 0: none."
    paper_fee_tax_class: str = ""
    "Name of the tax class of that fee; needed where there is one."
    empty_invoices: str = field(default="no", metadata=_one_of("no", "yes"))
    "Whether a bill of nothing becomes an invoice with a number."
    issue_days_before: int = field(default=1, metadata=_at_least(0))
    "Days before its period begins that an invoice is issued."
    debt_reach: str = field(default="payer", metadata=_one_of("payer", "service"))
    "Whether an unpaid invoice touches all services that its payer pays for, or only those that it bills."
    reduced_rate_down: int = field(default=2_000_000, metadata=_at_least(1))
    "bit/s towards a subscriber whose line is slowed, at most."
    reduced_rate_up: int = field(default=1_000_000, metadata=_at_least(1))
    "bit/s from a subscriber whose line is slowed, at most."
    bill_run_hold: str = field(default="no", metadata=_one_of("no", "anomalies"))
    "Whether bills with something severely odd about them wait until somebody releases them, or go out as the others."
    bill_jump_percent: int = field(default=50, metadata=_at_least(1))
    "A price that differs by more than so many percent from the last one of the same service is odd ..."
    bill_jump_least: int = field(default=200, metadata=_at_least(0))
    "... if it also differs by more than so much, in the smallest unit of the currency."
    walled_rate_down: int = field(default=1_000_000, metadata=_at_least(1))
    "bit/s towards a walled subscriber."
    walled_rate_up: int = field(default=1_000_000, metadata=_at_least(1))
    "bit/s from a walled subscriber."
    walled_pool: str = "walled"
    "Address pool on the NAS for walled sessions."
    walled_address_list: str = "walled"
    "Address list (MikroTik) or filter for walled sessions."
    interim_interval: int = field(default=300, metadata=_at_least(60))
    "Seconds between interim accounting records."
    report_target_dso_days: int = field(default=30, metadata=_at_least(0))
    "Days of sales outstanding (DSO) at most; `tollkeeper report dso` marks what misses it."
    report_target_collection_percent: int = field(default=95, metadata=_at_least(0))
    "Percent of what was invoiced that should be collected at least."
    report_target_late_percent: int = field(default=10, metadata=_at_least(0))
    "Percent of the invoices that may be paid late at most."
    report_target_autopay_percent: int = field(default=30, metadata=_at_least(0))
    "Percent of the accounts that should pay by themselves at least."
    cheque_days: int = field(default=0, metadata=_at_least(0))
    "Days from its receipt until a cheque counts: settles invoices and restores access; 0: at once."
    instalment_grace_days: int = field(default=3, metadata=_at_least(0))
    "Days that a part of an instalment plan may be late before the plan breaks; a plan keeps those of its making."
    stripe_secret_key: str = field(default="", repr=False, metadata={"secret": True})
    "Secret API key of your Stripe account; empty: no card payments."
    stripe_webhook_secret: str = field(default="", repr=False, metadata={"secret": True})
    "Signing secret of the webhook endpoint."
    stripe_connected_account: str = ""
    "Account that the key acts for (Stripe Connect), acct_...; empty: its own."
    stripe_test_mode: str = field(default="no", metadata=_one_of("no", "yes"))
    "Whether a key for tests is used although no money comes in with it; the sandbox always does."
    stripe_calls_per_second: int = field(default=20, metadata=_at_least(0))
    "Calls to Stripe for charges, refunds and disputes per second at most, all workers together; 0: not limited."
    autopay_when: str = field(default="issue", metadata=_one_of("issue", "days", "due"))
    "When a saved card is charged: on issue of the invoice, autopay_days later, or on its due date."
    autopay_days: int = field(default=3, metadata=_at_least(0))
    "Days from issue until a saved card is charged, where autopay_when is days."
    autopay_age_days: int = field(default=45, metadata=_at_least(1))
    "An invoice issued longer ago than so many days is not charged by itself any more."
    autopay_other_card: str = field(default="no", metadata=_one_of("no", "yes"))
    "Whether another saved card of the subscriber is charged when the default one is refused."
    card_pending_days: int = field(default=1, metadata=_at_least(0))
    "Days that dunning waits for a card payment that is under way, or whose outcome is not known, at most ..."
    debit_pending_days: int = field(default=7, metadata=_at_least(0))
    "... and for a payment in a way that takes days, such as a direct debit."
    stripe_api_base: str = ""
    "Sandbox only: address of the pretend Stripe; it is ignored unless the sandbox is on."

    @property
    def zone(self) -> ZoneInfo:
        """The time zone as an object."""
        return ZoneInfo(self.time_zone)


FIELDS = {f.name: f for f in fields(Business)}


def load_business(tx: Connection, vault: Vault) -> Business:
    """The settings as of this transaction; those never set have their defaults."""
    values: dict[str, Any] = {}
    for key, value, secret in tx.execute(
        select(business_setting.c.key, business_setting.c.value, business_setting.c.secret)
    ):
        if key in FIELDS:
            values[key] = vault.unlock_text(value.encode()) if secret else value
    return Business(**values)


def set_business(tx: Connection, vault: Vault, actor: str, **values: object) -> None:
    """Check and store settings, with trail; secrets are encrypted and never written into the trail."""
    for key, value in values.items():
        checked = check(key, value)
        secret = bool(FIELDS[key].metadata.get("secret"))
        stored = vault.lock(str(checked)).decode() if secret else checked
        row = {"key": key, "value": stored, "secret": secret}
        tx.execute(
            insert(business_setting)
            .values(row)
            .on_conflict_do_update(index_elements=["key"], set_={"value": stored, "secret": secret})
        )
        if FIELDS[key].metadata.get("large"):
            shown: Any = f"({len(str(checked))} characters)"
        else:
            shown = "(hidden)" if secret else json.loads(json.dumps(checked))
        trail.record(tx, actor, "setting.changed", subject="setting", detail={"key": key, "value": shown})


def check(key: str, value: object) -> object:
    """The value in its right type, or WrongBusinessSetting with a sentence."""
    if key not in FIELDS:
        raise WrongBusinessSetting(f"There is no business setting {key!r}.")
    declared = FIELDS[key]
    if declared.type is int:
        try:
            number = int(str(value))
        except ValueError:
            raise WrongBusinessSetting(f"{key} is {value!r}; it must be a whole number.") from None
        least = declared.metadata["least"]
        if number < least:
            raise WrongBusinessSetting(f"{key} is {number}; it must be {least} or more.")
        return number
    text = str(value)
    choices = declared.metadata.get("choices")
    if choices is not None and text not in choices:
        allowed = ", ".join(choice or "nothing" for choice in choices)
        raise WrongBusinessSetting(f"{key} is {text!r}; it must be one of {allowed}.")
    if key == "message_webhook_url" and text and not text.startswith(("http://", "https://")):
        raise WrongBusinessSetting(f"{key} is {text!r}; it must begin with https:// or http://.")
    if by := declared.metadata.get("check"):
        try:
            return by(text)
        except ValueError as wrong:
            raise WrongBusinessSetting(f"{key}: {wrong}") from None
    if key == "time_zone" and text not in available_timezones():
        raise WrongBusinessSetting(f"time_zone is {text!r}; it must be a zone such as Europe/Paris.")
    if key == "language" and not is_language(text):
        raise WrongBusinessSetting(f"language is {text!r}; it must be a language such as en, en_GB or fr.")
    if key == "currency" and not (len(text) == 3 and text.isascii() and text.isupper()):
        raise WrongBusinessSetting(f"currency is {text!r}; it must be an ISO 4217 code such as EUR.")
    return text


def percent(text: str) -> Decimal:
    """A tax rate typed as '20' or '5.5', from 0 to 100."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise WrongBusinessSetting(f"{text!r} is not a percentage such as 20 or 5.5.") from None
    if not (value.is_finite() and 0 <= value <= 100):
        raise WrongBusinessSetting(f"{text} % is not between 0 and 100.")
    return value

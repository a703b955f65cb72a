"""Staff: the forms, with a sentence for everything that can be typed wrongly."""

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from flask_wtf import FlaskForm
from sqlalchemy.exc import IntegrityError
from wtforms import DateField, Form, HiddenField, IntegerField, PasswordField, SelectField, StringField, TextAreaField
from wtforms.fields import Field
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired, Length, NumberRange, Optional, ValidationError

from base import business as business_settings
from base.i18n import parse_money
from base.money import Money
from base.nas import MESSAGE_AUTHENTICATOR, WrongNas
from billing.refused import Refused
from portal.accounts import SHORTEST_PASSWORD
from portal.at_hand import tx
from portal.words import CYCLES, METHODS
from radius.dialects import DIALECTS

SHORT = Length(max=200, message="This is longer than 200 characters.")
LONG = Length(max=4000, message="This is longer than 4000 characters.")


def stripped(text: str | None) -> str:
    """What was typed, without blanks around it."""
    return (text or "").strip()


def needed(sentence: str) -> Callable[[Form, Field], None]:
    """Refuse an empty field, or one of blanks only, with this sentence."""

    def check(_form: Form, field: Field) -> None:
        if not stripped(field.data):
            raise ValidationError(sentence)

    check.field_flags = {"required": True}  # type: ignore[attr-defined]
    return check


class ChoiceField(SelectField):
    """One of a list, with a sentence of ours for anything else."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.flags.required = True

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read it, or say what to do."""
        try:
            super().process_formdata(valuelist)
        except ValueError:
            raise ValueError("Choose one from the list.") from None

    def pre_validate(self, form: Form) -> None:
        """Only what the list offers."""
        try:
            super().pre_validate(form)
        except ValidationError:
            raise ValidationError("Choose one from the list.") from None


class DayField(DateField):
    """A date as browsers send it, with a sentence of ours."""

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read it, or say how it is written."""
        try:
            super().process_formdata(valuelist)
        except ValueError:
            raise ValueError("A day is written as 2026-11-25.") from None


class PortField(IntegerField):
    """A port number, with a sentence of ours."""

    def process_formdata(self, valuelist: list[str]) -> None:
        """Read it, or say what it is."""
        try:
            super().process_formdata(valuelist)
        except ValueError:
            raise ValueError("A port is a whole number such as 3799.") from None


def email_like(_form: Form, field: Field) -> None:
    """An e-mail address has something on both sides of one @."""
    local, at, domain = stripped(field.data).rpartition("@")
    if not (local and at and "." in domain and not any(letter.isspace() for letter in local + domain)):
        raise ValidationError("An e-mail address looks like name@example.net.")


class SubscriberForm(FlaskForm):
    """Somebody who pays."""

    name = StringField("Name", [needed("A subscriber needs a name."), SHORT])
    email = StringField("E-mail", [Optional(), email_like, SHORT], description="Invoices and reminders go there.")
    phone = StringField("Phone", [Optional(), SHORT])
    address = TextAreaField("Address", [Optional(), LONG], description="As it is printed on invoices.")
    note = TextAreaField("Note", [Optional(), LONG], description="For staff only.")
    portal_password = PasswordField(
        "Portal password",
        [
            Optional(),
            Length(min=SHORTEST_PASSWORD, message=f"A password has at least {SHORTEST_PASSWORD} characters."),
            SHORT,
        ],
        description="Empty: no login to the portal.",
        render_kw={"autocomplete": "new-password"},
    )


class PlanForm(FlaskForm):
    """Something that can be bought."""

    name = StringField("Name", [needed("A plan needs a name."), SHORT])
    price = StringField("Price", [needed("Type a price such as 29.99.")], description="Net, per cycle.")
    cycle_months = ChoiceField(
        "Cycle", coerce=int, choices=[SelectChoice(str(n), f"Every {word}") for n, word in CYCLES.items()]
    )
    tax_percent = StringField("Tax, percent", [needed("Type a percentage such as 20; 0 for none.")], default="0")
    rate_down = StringField("Download, Mbit/s", [needed("Type a speed such as 100; 0 for no limit.")])
    rate_up = StringField("Upload, Mbit/s", [needed("Type a speed such as 20; 0 for no limit.")])
    pool = StringField("Address pool", [Optional(), SHORT], description="A pool that your NASes know by this name.")

    def __init__(self, currency: str) -> None:
        super().__init__()
        self.currency = currency
        self.price.description = f"Net, per cycle, in {currency}."

    def validate_price(self, field: Field) -> None:
        """An amount, not negative."""
        if typed_money(field.data, self.currency).minor < 0:
            raise ValidationError("A price is not negative.")

    def validate_tax_percent(self, field: Field) -> None:
        """A percentage from 0 to 100."""
        try:
            business_settings.percent(stripped(field.data))
        except ValueError as error:
            raise ValidationError(str(error)) from None

    def validate_rate_down(self, field: Field) -> None:
        """A speed."""
        typed_rate(field.data)

    validate_rate_up = validate_rate_down


class ServiceForm(FlaskForm):
    """A login on a plan."""

    plan_id = ChoiceField("Plan", coerce=int, validate_choice=True)
    login = StringField("Login", [needed("A service needs a login."), SHORT], description="As typed on the router.")
    password = StringField(
        "Password", [needed("A service needs a password."), SHORT], render_kw={"autocomplete": "off"}
    )
    starts_on = DayField("First day", [Optional()], description="Empty: today.")
    address = StringField("Fixed IPv4 address", [Optional(), SHORT], description="Empty: one from the plan's pool.")


class NasForm(FlaskForm):
    """A router or access server."""

    name = StringField("Name", [needed("A NAS needs a name."), SHORT])
    network = StringField(
        "Address or network",
        [needed("Type an address such as 192.0.2.1, or a network such as 192.0.2.0/24.")],
        description="Where its packets come from.",
    )
    secret = StringField(
        "Shared secret", [needed("A NAS needs a shared secret."), SHORT], render_kw={"autocomplete": "off"}
    )
    kind = ChoiceField("Kind", choices=[SelectChoice(kind, each.title) for kind, each in DIALECTS.items()])
    message_authenticator = ChoiceField(
        "Require Message-Authenticator",
        choices=[SelectChoice(word, word) for word in MESSAGE_AUTHENTICATOR],
        default="auto",
        description="auto: required from the first packet on that carries one.",
    )
    coa_port = PortField("CoA port", [NumberRange(1, 65535, "The CoA port is between 1 and 65535.")], default=3799)


class PaymentForm(FlaskForm):
    """Money that came in outside of card payments."""

    amount = StringField("Amount", [needed("Type an amount such as 29.99.")])
    method = ChoiceField("How", choices=[SelectChoice(key, METHODS[key]) for key in ("cash", "transfer")])
    note = StringField("Note", [Optional(), SHORT], description="Such as the reference of the transfer.")
    once = HiddenField(validators=[InputRequired(), Length(max=64)])

    def __init__(self, currency: str) -> None:
        super().__init__()
        self.currency = currency
        self.amount.description = f"In {currency}."

    def validate_amount(self, field: Field) -> None:
        """More than nothing."""
        if typed_money(field.data, self.currency).minor <= 0:
            raise ValidationError("A payment is more than zero.")


class ReasonForm(FlaskForm):
    """Why something is done to somebody."""

    note = StringField("Reason", [needed("Say why; it is kept in the trail."), SHORT])


def typed_money(text: str | None, currency: str) -> Money:
    """An amount as typed; ValidationError with a sentence otherwise."""
    try:
        return parse_money(text or "", currency)
    except ValueError as error:
        raise ValidationError(str(error)) from None


def typed_rate(text: str | None) -> int:
    """'0.5' Mbit/s as 500000 bit/s, up to 1 Tbit/s; ValidationError with a sentence otherwise."""
    try:
        bits = Decimal(stripped(text).replace(",", ".")) * 1_000_000
    except InvalidOperation:
        bits = Decimal(-1)
    if not (bits.is_finite() and 0 <= bits <= 10**12 and bits == int(bits)):
        raise ValidationError("A speed is a number of Mbit/s such as 100 or 0.5; 0 for no limit.")
    return int(bits)


def attempt(form: FlaskForm, deed: Callable[[], int]) -> int | None:
    """Do it and return its id; when it is refused, put the sentence under its field, undo, and return None."""
    try:
        with tx().begin_nested():
            return deed()
    except (Refused, WrongNas) as error:
        _say(form, error.field, str(error))
    except IntegrityError as error:
        constraint: Any = getattr(getattr(error.orig, "diag", None), "constraint_name", "") or ""
        _say(form, constraint.rsplit("_", 1)[-1], "This exists already.")
    return None


def _say(form: FlaskForm, name: str, sentence: str) -> None:
    field = form[name] if name in form else next(iter(form))
    field.errors = [*field.errors, sentence]

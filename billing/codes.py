"""The accountant's codes for our accounts: theirs where they gave some, ours (billing.accounts) everywhere else."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.postgresql import insert

from base import trail
from base.offers import tax_class
from billing.accounts import BY_KEY, BY_TAX_CLASS
from billing.book_tables import account_code
from billing.refused import need


@dataclass(frozen=True, slots=True)
class Codes:
    """Codes by (account, tax class), and the names of tax classes."""

    given: Mapping[tuple[str, int | None], str]
    classes: Mapping[int, str]

    def of(self, account: str, tax_class_id: int | None = None) -> str:
        """The code of an account; without one of its tax class that of the account, without that ours."""
        return self.given.get((account, tax_class_id)) or self.given.get((account, None)) or BY_KEY[account].code

    def class_name(self, tax_class_id: int | None) -> str:
        """The name of a tax class; empty for none."""
        return "" if tax_class_id is None else self.classes.get(tax_class_id, str(tax_class_id))


def load_codes(tx: Connection) -> Codes:
    """All codes as they hold now."""
    given = {(row.account, row.tax_class_id): row.code for row in tx.execute(select(account_code))}
    classes = {row.id: row.name for row in tx.execute(select(tax_class.c.id, tax_class.c.name))}
    return Codes(given, classes)


def set_code(tx: Connection, author: str, account: str, code: str, tax_class_id: int | None = None) -> None:
    """Give an account the accountant's code, or of one tax class; an empty code takes it back.

    Raises Refused when there is no such account, or it has no tax classes and one is named.
    """
    need(account in BY_KEY, f"An account is one of {', '.join(BY_KEY)}.", "account")
    need(
        tax_class_id is None or account in BY_TAX_CLASS,
        f"Only {' and '.join(BY_TAX_CLASS)} are kept by tax class.",
        "tax_class_id",
    )
    code = code.strip()
    need(len(code) <= 40 and code.isprintable(), "A code has at most 40 characters that can be printed.", "code")
    old = load_codes(tx).of(account, tax_class_id)
    if code:
        statement = insert(account_code).values(account=account, tax_class_id=tax_class_id, code=code)
        tx.execute(statement.on_conflict_do_update(index_elements=["account", "tax_class_id"], set_={"code": code}))
    else:
        same_class = account_code.c.tax_class_id.is_not_distinct_from(tax_class_id)
        tx.execute(delete(account_code).where(account_code.c.account == account, same_class))
    trail.record(
        tx, author, "books.code_set", subject="account",
        detail={"account": account, "tax_class_id": tax_class_id, "old": old, "new": code},
    )  # fmt: skip

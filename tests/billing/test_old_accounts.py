"""Another key opens another account: what lay at the old one is said with what to do, and can be booked out."""

from datetime import date

import pytest
from click.testing import CliRunner

from base.database import transaction
from billing.bank.settling import settle_all
from billing.clearing.old_accounts import left_behind
from billing.clearing.payouts import last_payouts
from billing.clearing.reconcile import reconcile
from billing.ledger import check_books
from billing.stripe_check import check, set_up
from console.cli import main
from sandbox.stripe.app import Config
from tests.billing.collecting import Till, emulate, open_till
from tests.billing.provider import noon
from tests.billing.test_bank_intake import row, take
from tests.billing.test_clearing import FEE, GROSS, booked, fetched
from tests.sandbox.emulator import Emulator

emulator = pytest.fixture(emulate)
till = pytest.fixture(open_till)
NET = GROSS - FEE


@pytest.fixture
def another(till: Till, tmp_path) -> Emulator:
    """34.65 lie at an account; then the operator has another one, with another key."""
    till.customer("pm_card_visa")
    fetched(till)
    till.bill()
    fetched(till)
    made = Emulator(Config(data=tmp_path / "other", api_key="sk_test_of_another_account"))
    till.provider.set(stripe_secret_key="sk_test_of_another_account", stripe_api_base=made.url)
    yield made
    made.running.stop()


def typed(*command: str, fails: bool = False) -> str:
    done = CliRunner().invoke(main, command)
    assert (done.exit_code != 0) is fails, done.output
    return done.output


def old(till: Till) -> str:
    with transaction() as tx:
        (each,) = left_behind(tx, till.business(tx))
    assert each.amount.minor == NET
    return each.account


def agrees() -> None:
    with transaction() as tx:
        assert check_books(tx) == []
        assert reconcile(tx).agrees


def test_what_lies_at_the_old_account_is_said_with_what_to_do(till: Till, another: Emulator):
    with transaction() as tx:
        assert left_behind(tx, till.business(tx)) == []  # nobody knows yet which account the key opens
    fetched(till)
    agrees()
    account = old(till)
    shown = typed("clearing", "show")
    assert f"€34.65 lay at {account}, which the key no longer opens" in shown
    assert f"`tollkeeper clearing book-out {account}`" in shown
    set_up(till.provider.vault, "staff:1")
    assert [each.sentence for each in check(till.provider.vault) if not each.ok] == [
        line for line in shown.splitlines() if line.startswith("€34.65")
    ]
    till.provider.set(stripe_secret_key="")
    assert "€34.65 lay at" in typed("stripe", "check", fails=True)


def test_it_is_booked_out_and_found_in_the_bank_statement(till: Till, another: Emulator):
    fetched(till)
    account = old(till)
    assert "keeps at most" in typed("clearing", "book-out", account, "--kept", "99.00", fails=True)
    told = typed("clearing", "book-out", account, "--kept", "0.65")
    assert "is matched when it comes" in told
    assert (booked("stripe"), booked("payouts"), booked("gateway_fees")) == (0, NET - 65, FEE + 65)
    agrees()
    assert "which the key no longer opens" not in typed("clearing", "show")
    assert "Nothing lies at" in typed("clearing", "book-out", account, fails=True)
    with transaction() as tx:
        (payout,) = last_payouts(tx)
    till.provider.travel(noon(payout.arrives_on))
    take(till.provider, row("STRIPE", "34.00", "Stripe", day=str(payout.arrives_on)))
    settle_all(till.provider.vault, noon(payout.arrives_on))
    assert (booked("payouts"), booked("bank")) == (0, NET - 65)
    assert fetched(till).agrees


def test_the_account_in_use_is_not_booked_out(till: Till, another: Emulator):
    fetched(till)
    with transaction() as tx:
        from billing.collect.account import current_account

        now_used = current_account(tx, till.business(tx)).account
    assert "or the key opens it" in typed("clearing", "book-out", now_used, fails=True)


def test_its_key_set_again_goes_on_where_it_was(till: Till, another: Emulator, emulator: Emulator):
    fetched(till)
    from tests.sandbox.emulator import KEY

    till.provider.set(stripe_secret_key=KEY, stripe_api_base=emulator.url)
    emulator.control("clock", advance=3 * 86400)
    assert fetched(till).agrees
    assert (booked("stripe"), booked("payouts")) == (0, NET)
    with transaction() as tx:
        assert left_behind(tx, till.business(tx)) == []
    till.bill(date(2027, 3, 1))

"""The reports by name: each is one function of the open transaction, the business settings and the window."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from base.business import Business
from billing.reports import attempts, autopay, churn, collection, debts, mrr, restoring, revenue
from billing.reports.attempts_load import load_attempts
from billing.reports.autopay_load import load_enrolled
from billing.reports.collection_load import load_bills, load_received
from billing.reports.debts_load import load_movements, load_sales
from billing.reports.mrr_load import load_accounts, load_churn, load_paying, load_recurring_on
from billing.reports.promises_load import report_promises
from billing.reports.restoring_load import load_restored
from billing.reports.revenue_load import load_sold, load_taxed
from billing.reports.shape import Report, Window

Make = Callable[[Connection, Business, Window], Report]


@dataclass(frozen=True, slots=True)
class Described:
    """A report as lists show it."""

    sentence: str
    make: Make


def report_revenue(tx: Connection, business: Business, window: Window) -> Report:
    """Revenue as invoiced, by kind of what was sold and by month."""
    return revenue.revenue(load_sold(tx, window), load_taxed(tx, window), window)


def report_revenue_by_plan(tx: Connection, business: Business, window: Window) -> Report:
    """Revenue as invoiced, by plan."""
    return revenue.revenue_by_plan(load_sold(tx, window), window)


def report_revenue_by_tax(tx: Connection, business: Business, window: Window) -> Report:
    """Tax base and tax, by rate."""
    return revenue.revenue_by_tax(load_taxed(tx, window), window)


def report_ageing(tx: Connection, business: Business, window: Window) -> Report:
    """Outstanding by age on any past day."""
    return debts.ageing(load_movements(tx, window, business.zone), window)


def report_dso(tx: Connection, business: Business, window: Window) -> Report:
    """Days sales outstanding."""
    movements, sales = load_movements(tx, window, business.zone), load_sales(tx, window)
    return debts.dso(movements, sales, window, business.report_target_dso_days)


def report_collection(tx: Connection, business: Business, window: Window) -> Report:
    """Collection rate, cohort and cash."""
    bills, received = load_bills(tx, window, business.zone), load_received(tx, window)
    return collection.collection(bills, received, window, business.report_target_collection_percent)


def report_late(tx: Connection, business: Business, window: Window) -> Report:
    """Late payments."""
    bills = load_bills(tx, window, business.zone)
    return collection.late(bills, window, business.report_target_late_percent)


def report_payment_success(tx: Connection, business: Business, window: Window) -> Report:
    """Payment success."""
    return attempts.payment_success(load_attempts(tx, window, business.zone), window)


def report_autopay(tx: Connection, business: Business, window: Window) -> Report:
    """Autopay enrolment: who agreed by that day, still does, and has a card that can be charged now."""
    billable = {window.day: load_paying(tx, window.day, window.currency)}
    can = business.stripe_secret_key
    enrolled = {window.day: load_enrolled(tx, business, window.day)} if can else None
    return autopay.autopay(enrolled, billable, window, business.report_target_autopay_percent)


def report_mrr(tx: Connection, business: Business, window: Window) -> Report:
    """MRR and ARPU."""
    recurring = load_recurring_on(tx, window.days, window.currency)
    return mrr.mrr(recurring, load_accounts(tx, window.days, window.currency), window)


def report_churn(tx: Connection, business: Business, window: Window) -> Report:
    """Churn, and churn for non-payment."""
    return churn.churn(*load_churn(tx, window), window)


def report_time_to_restore(tx: Connection, business: Business, window: Window) -> Report:
    """Time from a payment to the NAS's acknowledgement."""
    return restoring.restoring(load_restored(tx, window, business.zone), window)


REPORTS: dict[str, Described] = {
    "revenue": Described("Net invoiced less credited, by kind of what was sold.", report_revenue),
    "revenue-by-plan": Described("The same by plan, product and charge.", report_revenue_by_plan),
    "revenue-by-tax": Described("Tax base and tax by rate.", report_revenue_by_tax),
    "ageing": Described("What is outstanding and how long overdue, on any day.", report_ageing),
    "collection": Described("How much of what was billed is paid, by cohort and in cash.", report_collection),
    "late": Described("How much of what fell due was paid late, and how late.", report_late),
    "dso": Described("Days of sales that are outstanding: simple, best possible, count-back.", report_dso),
    "payment-success": Described("How often paying by card succeeds: first, all, recovered.", report_payment_success),
    "autopay": Described("How many accounts pay by themselves.", report_autopay),
    "churn": Described("Accounts that left, and those that left for non-payment.", report_churn),
    "promises": Described("How many promises to pay were kept.", report_promises),
    "mrr": Described("What recurs, as if every cycle were a month, and per account.", report_mrr),
    "time-to-restore": Described("From a payment to the line working again.", report_time_to_restore),
}

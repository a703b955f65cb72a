"""The preview of a bill run says what the run then does, to the cent, and writes, locks and numbers nothing."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

from sqlalchemy import func, select, text, update

from base.business import load_business
from base.database import transaction
from base.money import Money
from base.offers import plan
from base.tables import service, subscriber
from billing.bill_facts import judge_issued
from billing.bill_preview import preview_run
from billing.changes import change_plan
from billing.charges import add_charge
from billing.extras import add_discount, add_product, sell_product
from billing.invoices import issue_due
from billing.plans import change_price
from billing.tables import invoice, invoice_line
from tests.billing.provider import Provider, noon

MARCH = date(2026, 3, 1)
APRIL = date(2026, 4, 1)


def everything() -> dict[str, int]:
    """How many rows each table has, and the last number of every series."""
    with transaction() as tx:
        names = tx.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
        counts = {name: tx.scalar(text(f"SELECT count(*) FROM {name}")) or 0 for name in names}
        numbers = {row.name: row.last_number for row in tx.execute(text("SELECT * FROM series"))}
        billed = tx.scalar(text("SELECT md5(string_agg(service::text, ',' ORDER BY id)) FROM service"))
    return counts | numbers | {"services": billed}


def charge(subscriber_id: int, text: str, minor: int, day: date, *, worth_a_bill: bool = True) -> None:
    with transaction() as tx:
        tax_class = tx.scalar(select(plan.c.tax_class_id).limit(1))
        add_charge(
            tx, subscriber_id=subscriber_id, kind="one_off", text=text, amount=Money(minor, "EUR"),
            tax_class_id=tax_class, on_day=day, bill_on=day if worth_a_bill else None, author="staff:1",
        )  # fmt: skip


def kinds(preview) -> list[str]:
    return sorted(each.kind for each in preview.anomalies)


def test_the_run_does_what_the_preview_said(provider: Provider):
    provider.travel(noon(MARCH))
    home = provider.plan(2999)
    for number in range(5):
        payer = provider.subscriber(f"Payer {number}")
        line = provider.service(payer, home, date(2026, 3, 1 + number))
        with transaction() as tx:
            tax_class = tx.scalar(select(plan.c.tax_class_id).limit(1))
            router = add_product(
                tx, "system", name=f"Router {number}", kind="rent", price=Money(333, "EUR"), tax_class_id=tax_class
            )
            sell_product(tx, provider.vault, "system", line, router)
            add_discount(tx, provider.vault, "system", line, text="Loyal", percent_off="7")
    now = provider.travel(noon(date(2026, 3, 5)))
    charge(1, "Cable", 777, date(2026, 3, 5))
    before = everything()
    heard: list[tuple[int, int]] = []
    preview = preview_run(date(2026, 3, 5), lambda done, of: heard.append((done, of)))
    assert everything() == before
    assert heard == [(5, 5)]
    assert len(issue_due(now)) == 5
    with transaction() as tx:
        sums = tx.execute(
            select(
                func.count(),
                func.sum(invoice.c.net_minor),
                func.sum(invoice.c.tax_minor),
                func.sum(invoice.c.total_minor),
            )
        ).one()
        each = preview.sums["EUR"]
        assert (each.invoices, each.net, each.tax, each.total) == tuple(sums)
        assert each.services == 5
        issued = {row.subscriber_id: row.total_minor for row in tx.execute(select(invoice))}
        assert {bill.subscriber_id: bill.total.minor for bill in preview.bills} == issued
        by_kind = dict(
            tx.execute(
                select(invoice_line.c.kind, func.sum(invoice_line.c.net_minor)).group_by(invoice_line.c.kind)
            ).all()
        )
    assert preview.taxes["EUR", "VAT 20 %"].net == each.net
    assert preview.plans["EUR", "Home 1"].net == by_kind["plan"]
    assert preview.plans["EUR", "discount"].net == by_kind["discount"]
    assert preview.plans["EUR", "one_off"].net == 777
    assert (
        sum(found.net for (_, name), found in preview.plans.items() if name.startswith("Router")) == by_kind["product"]
    )
    assert (preview.anomalies, preview.failures) == ([], {})
    assert preview_run(date(2026, 3, 5)).bills == []


def test_it_waits_for_nobody(provider: Provider):
    provider.travel(noon(MARCH))
    provider.service(provider.subscriber(), provider.plan(), MARCH)
    with ThreadPoolExecutor(1) as pool, transaction() as tx:
        tx.execute(update(service).values(login="held"))
        tx.execute(update(subscriber).values(name="held"))
        assert len(pool.submit(preview_run, MARCH).result(timeout=20).bills) == 1


def test_a_wrong_price_list_is_named_and_ordinary_life_is_not(provider: Provider):
    provider.travel(noon(MARCH))
    home, pro = provider.plan(2999), provider.plan(9999)
    for number in range(3):
        provider.service(provider.subscriber(f"Payer {number}"), home, date(2026, 3, 1))
    issue_due(noon(MARCH))
    assert kinds(preview_run(date(2026, 3, 31))) == []
    with transaction() as tx:
        change_price(tx, "staff:1", home, Money(29990, "EUR"), APRIL, today=date(2026, 3, 2))
    found = preview_run(date(2026, 3, 31))
    assert kinds(found) == ["jump"] * 3
    assert "€299.90 for a whole period, and €29.99 the last time" in found.anomalies[0].sentence
    issued = issue_due(noon(date(2026, 3, 31)))
    with transaction() as tx:  # seen from the issued rows it is the same
        odd = judge_issued(tx, load_business(tx, provider.vault), issued)
        assert [(each.kind, each.sentence) for each in odd] == [(each.kind, each.sentence) for each in found.anomalies]
    provider.service(provider.subscriber("New"), pro, date(2026, 4, 20))
    assert kinds(preview_run(date(2026, 4, 19))) == []


def test_a_service_that_the_run_passes_over_is_named(provider: Provider):
    provider.travel(noon(MARCH))
    lost = provider.service(provider.subscriber(), provider.plan(), MARCH)
    provider.service(provider.subscriber("Free"), provider.plan(0), MARCH)
    provider.service(provider.subscriber("Late"), provider.plan(), MARCH)
    with transaction() as tx:
        tx.execute(update(service).where(service.c.id == lost).values(next_bill_on=None))
    assert kinds(preview_run(APRIL)) == []
    ahead = preview_run(APRIL + timedelta(days=2))
    assert [(each.kind, each.subscriber_id) for each in ahead.anomalies] == [("never_billed", 1)]
    provider.travel(noon(APRIL + timedelta(days=2)))  # nothing ran since
    found = preview_run(APRIL + timedelta(days=2))
    assert {(each.kind, each.severity.value, each.subscriber_id) for each in found.anomalies} == {
        ("never_billed", "severe", 1),
        ("never_billed", "light", 3),
    }


def test_duplicates_payers_and_unchecked_numbers(provider: Provider):
    provider.travel(noon(MARCH))
    anna = provider.subscriber()
    line = provider.service(anna, provider.plan(), MARCH)
    nobody = provider.subscriber("Nobody", email="")
    provider.service(nobody, provider.plan(), MARCH)
    with transaction() as tx:
        tax_class = tx.scalar(select(plan.c.tax_class_id).limit(1))
        router = add_product(tx, "system", name="Router", kind="rent", price=Money(300, "EUR"), tax_class_id=tax_class)
        sell_product(tx, provider.vault, "system", line, router)
        sell_product(tx, provider.vault, "system", line, router)
        tx.execute(update(subscriber).where(subscriber.c.id == anna).values(tax_treatment="reverse_charge"))
    charge(anna, "Visit", 5000, MARCH)
    charge(anna, "Visit", 5000, MARCH)
    found = preview_run(MARCH)
    assert kinds(found) == ["duplicate", "duplicate", "unchecked", "unreachable"]
    assert {each.subscriber_id for each in found.anomalies if each.kind == "unreachable"} == {nobody}
    with transaction() as tx:
        tx.execute(update(subscriber).where(subscriber.c.id == nobody).values(address="1 Main Street"))
    assert "unreachable" not in kinds(preview_run(MARCH))
    issue_due(noon(MARCH))
    charge(anna, "Visit", 5000, date(2026, 3, 8))
    assert "duplicate" in kinds(preview_run(date(2026, 3, 8)))


def test_days_that_were_billed_before_are_named_unless_they_were_given_back(provider: Provider):
    now = provider.travel(noon(MARCH))
    line = provider.service(provider.subscriber(), provider.plan(), MARCH)
    issue_due(now)
    with transaction() as tx:
        tx.execute(update(service).values(billed_until=date(2026, 3, 20), next_bill_on=date(2026, 3, 20)))
    provider.travel(noon(date(2026, 3, 20)))
    assert kinds(preview_run(date(2026, 3, 20))) == ["duplicate"]
    with transaction() as tx:
        tx.execute(update(service).values(billed_until=APRIL, next_bill_on=APRIL))
    provider.travel(noon(date(2026, 3, 20)))
    other = provider.plan(5000)
    with transaction() as tx:
        change_plan(tx, provider.vault, "staff:1", line, other)
    assert kinds(preview_run(date(2026, 3, 20))) == []


def test_who_cannot_be_billed_is_named_and_all_others_are_drafted(provider: Provider):
    provider.travel(noon(MARCH))
    home, odd = provider.plan(), provider.plan()
    for number in range(3):
        provider.service(provider.subscriber(f"Payer {number}"), odd if number == 1 else home, MARCH)
    with transaction() as tx:
        tx.execute(update(plan).where(plan.c.id == odd).values(currency="USD"))
    found = preview_run(MARCH)
    assert [bill.subscriber_id for bill in found.bills] == [1, 3]
    assert list(found.failures) == [2]
    assert "cannot be mixed" in found.failures[2]


def test_a_later_day_is_seen_after_the_runs_until_then(provider: Provider):
    provider.travel(noon(MARCH))
    home = provider.plan(3000)
    anna, bert = provider.subscriber(), provider.subscriber("Bert")
    for day in (date(2026, 3, 4), date(2026, 3, 9), date(2026, 3, 9)):
        provider.service(anna, home, day)
    provider.service(bert, home, date(2026, 3, 4))
    charge(anna, "Early", 100, date(2026, 3, 2))
    charge(anna, "Late", 200, date(2026, 3, 8))
    charge(anna, "Later", 400, date(2026, 3, 20), worth_a_bill=False)
    charge(bert, "Alone", 300, date(2026, 3, 6))
    days = [MARCH + timedelta(days=number) for number in range(40)]
    said = {day: [(bill.number, bill.total.minor) for bill in preview_run(day).bills] for day in days}
    done = {}
    for day in days:
        provider.travel(noon(day))
        issued = issue_due(noon(day))
        query = select(subscriber.c.number, invoice.c.total_minor).join(
            invoice, invoice.c.subscriber_id == subscriber.c.id
        )
        with transaction() as tx:
            rows = tx.execute(query.where(invoice.c.id.in_(issued)).order_by(invoice.c.id)).all()
            done[day] = [tuple(row) for row in rows]
    assert said == done
    assert sum(map(len, done.values())) == 8

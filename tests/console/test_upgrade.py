"""An installation of an older schema, filled and brought to the newest: nothing is lost, and the books are right."""

from datetime import date

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import select, text

from base.database import connect
from base.offers import plan, service_plan, tax_class, tax_rate
from base.tables import service
from billing.ledger import check_books, receivable
from billing.settle import credits_by_subscriber, open_invoices
from billing.tables import invoice_line
from console import schema
from tests.postgres import create_database, drop_database

FILL = """
INSERT INTO subscriber (number, name, currency, created_at) VALUES ('00001', 'Anna', 'EUR', '2026-01-01Z');
INSERT INTO plan (name, price_minor, currency, cycle_months, tax_percent, rate_down, rate_up, created_at) VALUES
    ('Home', 3000, 'EUR', 1, '20', 100, 20, '2026-01-01Z'), ('Free', 0, 'EUR', 3, '0', 100, 20, '2026-01-01Z');
INSERT INTO service (subscriber_id, plan_id, login, password, starts_on, ends_on, periods_billed, created_at) VALUES
    (1, 1, 'anna', '', '2026-01-31', NULL, 2, '2026-01-01Z'),
    (1, 2, 'old', '', '2026-01-31', '2026-02-01', 1, '2026-01-01Z');
INSERT INTO series VALUES ('invoice', 2), ('receipt', 1), ('subscriber', 1);
INSERT INTO invoice (subscriber_id, number, currency, issued_on, due_on, net_minor, tax_minor, total_minor, taxes,
    seller, buyer, created_at) SELECT 1, 'INV-00000' || n, 'EUR', '2026-01-30', '2026-02-13', 3000, 600, 3600,
    '[{"percent": "20", "net_minor": 3000, "tax_minor": 600}]', '{}', '{}', '2026-01-30Z' FROM generate_series(1, 2) n;
INSERT INTO invoice_line (invoice_id, service_id, position, text, period_start, period_end, net_minor,
    tax_percent) VALUES (1, 1, 1, 'Home', '2026-01-31', '2026-02-28', 3000, '20'),
    (2, 1, 1, 'Home', '2026-02-28', '2026-03-31', 3000, '20');
INSERT INTO payment (subscriber_id, receipt_number, method, amount_minor, currency, received_on, author, created_at)
    VALUES (1, 'R-000001', 'cash', 3700, 'EUR', '2026-02-01', 'x', '2026-02-01Z');
INSERT INTO allocation (payment_id, invoice_id, amount_minor, created_at) VALUES (1, 1, 3600, '2026-02-01Z');
INSERT INTO entry (day, text, source, created_at) VALUES ('2026-01-30', '', 'invoice:1', '2026-01-30Z'),
    ('2026-01-30', '', 'invoice:2', '2026-01-30Z'), ('2026-02-01', '', 'payment:1', '2026-02-01Z');
INSERT INTO posting (entry_id, account, subscriber_id, amount_minor, currency) VALUES
    (1, 'receivable', 1, 3600, 'EUR'), (1, 'revenue', NULL, -3000, 'EUR'), (1, 'tax', NULL, -600, 'EUR'),
    (2, 'receivable', 1, 3600, 'EUR'), (2, 'revenue', NULL, -3000, 'EUR'), (2, 'tax', NULL, -600, 'EUR'),
    (3, 'cash', NULL, 3700, 'EUR'), (3, 'receivable', 1, -3700, 'EUR');
"""


@pytest.fixture
def first_light():
    """The engine of a filled database at revision 0001."""
    url = create_database()
    engine = connect(url)
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(text(FILL))
        connection.commit()
    try:
        yield engine
    finally:
        engine.dispose()
        drop_database(url)


def test_the_first_light_is_brought_to_the_newest_schema(first_light):
    assert schema.migrate(first_light) == ("0001", schema.newest())
    with first_light.connect() as tx:
        assert check_books(tx) == []
        query = select(service.c.billed_until, service.c.next_bill_on, service.c.payer_id).order_by(service.c.id)
        assert [tuple(row) for row in tx.execute(query)] == [
            (date(2026, 3, 31), date(2026, 3, 31), 1),
            (date(2026, 4, 30), None, 1),
        ]
        assert len(tx.execute(select(service_plan)).all()) == 2
        taxed = select(plan.c.name, plan.c.cycle_length, tax_class.c.name, tax_rate.c.category).select_from(
            plan.join(tax_class, tax_class.c.id == plan.c.tax_class_id).join(tax_rate)
        )
        assert sorted(tuple(row) for row in tx.execute(taxed)) == [("Free", 3, "0 %", "Z"), ("Home", 1, "20 %", "S")]
        assert [(each.number, each.open.minor) for each in open_invoices(tx, 1)] == [("INV-000002", 3600)]
        assert [each.left.minor for each in credits_by_subscriber(tx, [1])[1]] == [100]
        assert receivable(tx, 1).minor == 3500
        assert tx.execute(select(invoice_line.c.taxes).limit(1)).scalar_one()[0]["percent"] == "20"


DUN = """
INSERT INTO business_setting (key, value, secret) VALUES ('time_zone', '"Pacific/Auckland"', false);
INSERT INTO subscriber (number, name, currency, created_at) SELECT '1000' || n, 'Payer', 'EUR', '2026-01-01Z'
    FROM generate_series(1, 4) n;
INSERT INTO service (subscriber_id, payer_id, plan_id, login, password, starts_on, billed_until, created_at)
    SELECT id, id, 1, number, '', '2026-02-01', '2026-03-01', '2026-01-01Z' FROM subscriber WHERE number LIKE '1000%';
INSERT INTO invoice (subscriber_id, number, series, sequence, currency, issued_on, due_on, net_minor, tax_minor,
    total_minor, taxes, seller, buyer, created_at) SELECT id, 'X' || id, 'x', id, 'EUR', '2026-01-30', '2026-02-13',
    100, 0, 100, '[]', '{}', '{}', '2026-01-30Z' FROM subscriber WHERE number LIKE '1000%';
INSERT INTO open_item (invoice_id, subscriber_id, due_on, open_minor, currency)
    SELECT id, subscriber_id, due_on, 100, 'EUR' FROM invoice WHERE number LIKE 'X%';
INSERT INTO message (subscriber_id, kind, key, state, recipient, subject, body, created_at, sent_at)
    SELECT i.subscriber_id, 'reminder_1', 'reminder:' || i.id, CASE s.number WHEN '10001' THEN 'sent'
    ELSE 'bounced' END,
    'a@b', '', '', '2026-02-16Z', '2026-02-16Z' FROM invoice i JOIN subscriber s ON s.id = i.subscriber_id
    WHERE s.number IN ('10001', '10002');
-- walled in on the 20th of February, which begins in Auckland at eleven UTC of the 19th; the fourth is not yet
INSERT INTO policy (service_id, version, login, level, reasons, obeyed, changed_at)
    SELECT s.id, 1, s.login, CASE s.login WHEN '10004' THEN 0 ELSE 2 END,
    CASE s.login WHEN '10004' THEN '{}' ELSE '{debt}' END::text[], '{}',
    timestamptz '2026-02-19 11\\:00Z' FROM service s WHERE s.login LIKE '1000%';
"""


def test_whoever_was_walled_in_before_dunning_was_data_stays_so(first_light):
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    with first_light.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        connection.execute(text(DUN))
        connection.commit()
        command.upgrade(config, "head")
        connection.commit()
        query = text(
            "SELECT s.number, n.on_day, n.in_time FROM dunning_notice n JOIN invoice i ON i.id = n.invoice_id "
            "JOIN subscriber s ON s.id = i.subscriber_id WHERE i.number LIKE 'X%' ORDER BY s.number"
        )
        wall = date(2026, 2, 20)
        assert [tuple(row) for row in connection.execute(query)] == [
            ("10001", wall, True),
            ("10002", wall, True),  # the mail came back, and they were walled in all the same
            ("10003", wall, True),  # had no address
        ]

"""A week without a mail server: nothing is lost, nobody is walled in unheard, and all leaves when it is back."""

from datetime import date, timedelta

import pytest
from aiosmtpd.controller import Controller

from base.access import AccessLevel
from billing import invoices, mail, smtp, tick
from billing.tasks import Retry
from tests.billing.provider import Provider, noon
from tests.billing.test_mail import Answers, ask, use
from tests.sandbox.test_mail import free_port

DAY = date(2026, 11, 24)


def test_mails_wait_and_leave_once_when_the_server_is_back(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    use(monkeypatch, f"smtp://127.0.0.1:{port}")
    anna = provider.subscriber()
    service_id = provider.service(anna, provider.plan(), DAY)
    for ahead in range(50):  # due on the 14th day; by the standard policy the wall would stand on the 35th
        tick.run(provider.travel(noon(DAY + timedelta(days=ahead))))
        if ahead % 7 == 0:
            for (message_id,) in ask("SELECT id FROM message WHERE state = 'queued' AND kind = 'reminder_1'"):
                with pytest.raises(Retry):
                    mail.deliver(message_id)
    assert provider.level(service_id) == AccessLevel.FULL, "no notice has arrived"
    assert ask("SELECT count(*) FROM message WHERE state NOT IN ('queued', 'withdrawn')") == [(0,)]
    assert ask("SELECT count(*) FROM bad_address") == [(0,)], "a server that is away says nothing about addresses"
    waiting = ask("SELECT id FROM message WHERE state = 'queued' AND kind <> 'invoice' ORDER BY id")
    assert len(waiting) >= 4
    handler = Answers()
    server = Controller(handler, hostname="127.0.0.1", port=port)
    server.start()
    try:
        for (message_id,) in waiting * 2:
            mail.deliver(message_id)
    finally:
        server.stop()
        smtp.close_idle()
    assert len(handler.kept) == len(waiting)


def test_a_bill_of_nothing_takes_no_number_unless_it_is_wanted(provider: Provider) -> None:
    now = provider.travel(noon(DAY))
    anna = provider.subscriber()
    service_id = provider.service(anna, provider.plan(0), DAY)
    assert invoices.issue_due(now) == []
    assert ask("SELECT count(*) FROM series WHERE name = 'invoice'") == [(0,)]
    provider.set(empty_invoices="yes")
    (invoice_id,) = invoices.issue_due(provider.travel(noon(date(2026, 12, 24))))
    assert ask("SELECT number, total_minor FROM invoice") == [("INV-000001", 0)]
    assert ask(f"SELECT count(*) FROM open_item WHERE invoice_id = {invoice_id}") == [(0,)]
    tick.run(provider.travel(noon(date(2027, 3, 1))))
    assert provider.level(service_id) == AccessLevel.FULL

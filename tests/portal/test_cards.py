"""Cards and payment links in the portal: left at Stripe, chosen, removed; a link pays without anybody's name."""

import pytest
import requests
from sqlalchemy import select

from base.database import transaction
from billing.collect import cards
from billing.collect.tables import card
from billing.links import link_to
from billing.settle import open_invoices
from tests.billing.collecting import work
from tests.portal.conftest import csrf
from tests.portal.test_paying import CARD, click, emulator, walled

__all__ = ["emulator", "walled"]


@pytest.fixture
def anna(walled):
    return walled.as_subscriber("line1")


def post(browser, path, **form):
    return browser.post(path, data={"csrf_token": csrf(browser, "/cards/"), **form})


def add_card(browser) -> None:
    answer = post(browser, "/cards/add")
    assert answer.status_code == 303
    back = click(answer.headers["Location"], CARD)
    page = browser.get(back).text
    assert "Your card is saved" in page
    assert "on its way" not in page, "nothing was paid"
    assert "refresh" not in page, "nothing is waited for"
    work()


def test_a_card_is_added_switched_on_and_removed(anna):
    assert "Add a card, then" in anna.get("/cards/").text
    add_card(anna)
    page = anna.get("/cards/").text
    assert "Visa … 4242" in page
    assert "Default" in page
    assert post(anna, "/cards/autopay", on="yes").status_code == 303
    work()
    with transaction() as tx:
        assert [each.number for each in open_invoices(tx, 1)] == ["INV-000001"]  # too old to be charged by itself
        card_id = tx.scalars(select(card.c.id)).one()
    assert "Switch off" in anna.get("/cards/").text
    assert post(anna, "/cards/autopay").status_code == 303
    assert post(anna, f"/cards/{card_id}/remove").status_code == 303
    assert "Visa … 4242" not in anna.get("/cards/").text


def test_nobody_touches_the_card_of_somebody_else(walled, anna):
    add_card(anna)
    walled.subscriber("Bert", login="line2", email="bert@example.net")
    bert = walled.as_subscriber("line2")
    with transaction() as tx:
        card_id = tx.scalars(select(card.c.id)).one()
    assert "4242" not in bert.get("/cards/").text
    for act in ("remove", "default"):
        post(bert, f"/cards/{card_id}/{act}")
    with transaction() as tx:
        assert [row.state for row in cards.all_cards(tx, 1)] == ["usable"]


def test_a_sum_of_ones_own_is_paid_in_advance(anna):
    answer = anna.post("/pay", data={"csrf_token": csrf(anna, "/"), "amount": "200.00"})
    assert "Paid: €200.00" in anna.get(click(answer.headers["Location"], CARD)).text
    assert "of credit" in anna.get("/").text
    answer = anna.post("/pay", data={"csrf_token": csrf(anna, "/"), "amount": "plenty"}, follow_redirects=True)
    assert "plenty" in answer.text


def test_a_link_pays_an_invoice_without_a_name(walled):
    with transaction() as tx:
        found = open_invoices(tx, 1)[0]
        path = "/p/" + link_to(tx, found.id).rpartition("/")[2]
    browser = walled.browser("203.0.113.9")
    page = browser.get(path).text
    assert found.number in page
    assert "Anna" not in page
    answer = browser.post(path, data={"csrf_token": csrf(browser, path)})
    hosted = requests.get(answer.headers["Location"], timeout=5).text
    assert "Anna" not in hosted
    assert "anna@example.net" not in hosted
    back = click(answer.headers["Location"], CARD)
    assert "Paid" in browser.get(back).text
    assert "settled" in browser.get(path).text
    assert browser.get(path[:-1] + ("A" if path[-1] != "A" else "B")).status_code == 404

"""Prepaid services and vouchers from the console."""

import csv
import stat
from datetime import date
from subprocess import run as run_program

from base import clock
from base.access import AccessLevel
from tests.console.test_billing import typed


def test_from_a_batch_to_a_line_that_is_online(provider, tmp_path):
    plan = ("plan", "add", "Day", "1.00", "--every", "1", "--down", "50", "--up", "10", "--inclusive", "--prepaid")
    typed(*plan)
    assert "minimum term" in typed(*plan[:2], "Odd", *plan[3:], "--minimum-months", "3", fails=True)
    assert "1.00 every day from the balance" in typed("plan", "list")
    home = provider.service(provider.subscriber(), 1, clock.now().date())
    assert "not paid yet, renews itself; the next period costs €1.00, the balance is €0.00" in typed(
        "prepaid", "show", "line1"
    )
    assert "the balance is €0.00" in typed("prepaid", "renew", "line1", fails=True)
    assert "3 vouchers are made" in typed(
        "voucher", "batch", "add", "Kiosk", "2.50", "3", "--valid-until", "2099-12-31"
    )
    sheet, codes = tmp_path / "cards.pdf", tmp_path / "cards.csv"
    codes.write_text("in the way")
    print_them = ("voucher", "batch", "print", "Kiosk", "-o", str(sheet), "-o", str(codes))
    assert "cannot be written" in typed(*print_them, fails=True)  # and nothing is lost
    sheet.unlink()
    codes.unlink()
    assert "3 cards are in" in typed(*print_them)
    assert "printed already" in typed(*print_them[:-1], str(tmp_path / "again.csv"), fails=True)
    assert stat.S_IMODE(codes.stat().st_mode) == 0o600
    with codes.open(newline="") as file:
        cards = list(csv.DictReader(file))
    assert [(card["value"], card["valid_until"]) for card in cards] == [("€2.50", "2099-12-31")] * 3
    shown = run_program(["pdftotext", str(sheet), "-"], capture_output=True, text=True, check=True).stdout
    bare = shown.replace("-", "").replace("\n", "")  # a code stands on two lines, and pdftotext joins them
    assert all(card["code"].replace("-", "") in bare for card in cards)
    typed("voucher", "batch", "sell", "Kiosk", "--for", "7.00", "--by", "transfer")
    assert "There is a slip" in typed("voucher", "redeem", "line1", cards[0]["code"][:-1], fails=True)
    assert "€2.50 went to your balance." in typed("voucher", "redeem", "line1", cards[0]["code"].lower())
    assert provider.level(home) == AccessLevel.FULL
    assert "already" in typed("voucher", "redeem", "00001", cards[0]["code"], fails=True)
    assert "no subscriber and no service" in typed("voucher", "redeem", "nobody", cards[1]["code"], fails=True)
    assert "the balance is €1.50" in typed("prepaid", "show", "line1")
    assert "It is paid until" in typed("prepaid", "renew", "line1", fails=True)
    assert "ends with the time" in typed("prepaid", "auto-renew", "line1", "off")
    assert "does not renew itself" in typed("prepaid", "show", "line1")
    assert "2 vouchers are void" in typed("voucher", "batch", "void", "Kiosk", "--because", "stolen")
    assert "no longer valid" in typed("voucher", "redeem", "line1", cards[1]["code"], fails=True)
    listed = typed("voucher", "list")
    today = clock.now().date()
    assert f"Kiosk\t€2.50\t1 of 3 redeemed, valid until {date(2099, 12, 31)}, sold for €7.00 on {today}" in listed
    assert "printed, void" in listed


def test_a_wrong_code_at_the_desk_is_remembered(provider):
    provider.subscriber()
    for _ in range(5):
        said = typed("voucher", "redeem", "00001", "0000-0000-0000-0000", fails=True)
    assert "Too many wrong codes" in said

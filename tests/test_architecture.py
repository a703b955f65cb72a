"""Who may import what, read from the source and seen once more in a fresh interpreter per room."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("base", "billing", "radius", "coa", "portal", "sandbox", "console")

# room -> what it may import of ours, as prefixes of module names
MAY_IMPORT = {
    "base": ["base"],
    "billing": ["billing", "base"],
    "radius": ["radius", "base"],
    "coa": ["coa", "base", "radius.packet", "radius.dialects"],
    "portal": ["portal", "base", "billing", "radius.dialects", "coa.decide"],
    "sandbox": ["sandbox", "base", "billing", "radius.packet", "radius.dialects"],
    "console": ["console", "base", "billing", "radius", "coa", "portal", "sandbox"],
}

# outside library -> the modules that are its door
DOORS = {
    "stripe": ["billing.gateway"],
    "weasyprint": ["billing.documents"],
    "pyrad": ["base.dictionary", "coa.packet"],
    "celery": ["billing.worker", "billing.tasks"],
    "kombu": ["billing.worker", "billing.tasks"],
    "flask": ["portal", "sandbox"],
    "flask_wtf": ["portal"],
    "flask_limiter": ["portal"],
    "wtforms": ["portal"],
    "uvloop": ["radius.server"],
    "aiosmtpd": ["sandbox.mail"],
    "argon2": ["base.crypto"],
    "cryptography": ["base.crypto"],
    "alembic": ["console.schema", "console.migrations"],
    "babel": ["base.i18n"],
    "dns": ["billing.mail_dns"],
    "stdnum": ["base.bank", "billing.tax_numbers"],
    "pypdf": ["billing.print_batch"],
    "segno": ["billing.qr"],
    "facturx": ["billing.einvoice"],
    "lxml": ["billing.bank.camt", "billing.einvoice"],
    "mt940": ["billing.bank.mt940"],
}

# rules: no clock, no setting, no socket, no database
PURE = [
    "base.access",
    "base.money",
    "base.calendar",
    "billing.accounts",
    "billing.anchors",
    "billing.anomalies",
    "billing.bank.book",
    "billing.bank.camt",
    "billing.bank.match",
    "billing.bank.mt940",
    "billing.bank.names",
    "billing.bank.references",
    "billing.bank.statement",
    "billing.bank.table",
    "billing.clearing.book",
    "billing.collect.declines",
    "billing.collect.schedule",
    "billing.decide",
    "billing.dunning.policy",
    "billing.dunning.rules",
    "billing.dunning.window",
    "billing.earned",
    "billing.gateway.words",
    "billing.terms",
    "portal.addresses",
    "portal.words",
    "billing.draft",
    "billing.tax",
    "billing.allocation",
    "billing.importers.cells",
    "billing.importers.reader",
    "billing.importers.rows",
    "billing.letters",
    "billing.own_words",
    "billing.post_order",
    "billing.books",
    "billing.reports.shape",
    "billing.reports.revenue",
    "billing.reports.debts",
    "billing.reports.collection",
    "billing.reports.attempts",
    "billing.reports.autopay",
    "billing.reports.churn",
    "billing.reports.mrr",
    "billing.reports.promises",
    "billing.reports.restoring",
    "radius.accounting",
    "radius.book",
    "radius.credentials",
    "radius.dialects",
    "radius.exchange",
    "radius.folding",
    "radius.journal_format",
    "radius.packet",
    "radius.tally",
    "coa.exchange",
]
# what a pure module may reach for all the same, and why
EXCUSED = {
    "coa.exchange": {"random"},  # the type of the jitter that comes in as an argument
    "radius.packet": {"secrets"},  # a random authenticator where the caller gives none (RFC 2865 section 3)
}
IMPURE = {"socket", "selectors", "asyncio", "threading", "subprocess", "psycopg", "os", "time", "random", "secrets"}
IMPURE_OURS = {"base.clock", "base.settings", "base.database"}


def modules() -> dict[str, Path]:
    found = {}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(path: Path) -> list[tuple[int, str]]:
    """(line, module) of every import, inside functions too; `from a import b` counts as a.b where that exists."""
    result = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            result += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the full name instead of a relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                result.append((node.lineno, whole if whole in MODULES else str(node.module)))
    return result


def within(module: str, prefixes: list[str]) -> bool:
    return any(module == prefix or module.startswith(prefix + ".") for prefix in prefixes)


def room_faults(module: str, found: list[tuple[int, str]]) -> list[str]:
    room = module.partition(".")[0]
    return [
        f"{module}:{line} imports {name}, which the room {room} may not"
        for line, name in found
        if name.partition(".")[0] in ROOMS and not within(name, MAY_IMPORT[room])
    ]


def door_faults(module: str, found: list[tuple[int, str]]) -> list[str]:
    return [
        f"{module}:{line} imports {name}; its door is {' or '.join(DOORS[library])}"
        for line, name in found
        if (library := name.partition(".")[0]) in DOORS and not within(module, DOORS[library])
    ]


def test_rooms_import_only_what_they_may():
    assert [fault for module, path in MODULES.items() for fault in room_faults(module, imports(path))] == []


def test_each_library_has_one_door():
    assert [fault for module, path in MODULES.items() for fault in door_faults(module, imports(path))] == []


def test_the_checks_can_fail():
    assert room_faults("base.money", [(1, "billing.decide")])
    assert room_faults("coa.client", [(1, "radius.server")])
    assert not room_faults("coa.client", [(1, "radius.packet")])
    assert door_faults("portal.staff", [(1, "stripe")])


def test_nobody_imports_the_tests_or_the_benches():
    faults = [
        f"{module}:{line}"
        for module, path in MODULES.items()
        for line, name in imports(path)
        if name.partition(".")[0] in {"tests", "bench"}
    ]
    assert faults == []


@pytest.mark.parametrize("module", [*PURE, *(m for m in MODULES if m.endswith(".decide") and m not in PURE)])
def test_pure_modules_reach_for_nothing(module):
    reached = {name for _, name in imports(MODULES[module])}
    assert not reached & IMPURE_OURS
    assert not ({name.partition(".")[0] for name in reached} & IMPURE) - EXCUSED.get(module, set())
    source = MODULES[module].read_text()
    assert "datetime.now" not in source
    assert "date.today" not in source


@pytest.mark.parametrize("room", ROOMS)
def test_a_door_sign_is_a_docstring_and_nothing_else(room):
    tree = ast.parse((ROOT / room / "__init__.py").read_text())
    assert ast.get_docstring(tree)
    assert len(tree.body) == 1


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_alone_loads_only_its_neighbours(room):
    """Import every module of the room in a fresh interpreter and look at what got loaded."""
    names = [name for name in MODULES if within(name, [room]) and not name.endswith("__main__")]
    names = [name for name in names if not name.startswith("console.migrations")]
    code = f"""
import importlib, sys
for name in {sorted(names)!r}: importlib.import_module(name)
print("\\n".join(sorted(m for m in sys.modules if m.partition(".")[0] in {ROOMS!r})))
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    neighbours = {prefix.partition(".")[0] for prefix in MAY_IMPORT[room]}
    assert [module for module in result.stdout.split() if module.partition(".")[0] not in neighbours] == []


def test_every_module_says_what_it_is():
    assert [m for m, path in MODULES.items() if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_no_module_is_longer_than_400_lines():
    long = {m: n for m, path in MODULES.items() if (n := len(path.read_text().splitlines())) > 400}
    assert [m for m in long if not m.startswith("console.migrations")] == []


def test_the_packages_that_get_imported_are_ours():
    """PyPI has distributions called portal, radius and coa; an installed one must never win."""
    code = f"import {', '.join(ROOMS)}; print({', '.join(f'{room}.__file__' for room in ROOMS)})"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.stdout.split() == [str(ROOT / room / "__init__.py") for room in ROOMS]

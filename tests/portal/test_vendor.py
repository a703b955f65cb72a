"""The committed third-party files are those of the lock, nothing is loaded from elsewhere, and all of it is named."""

import hashlib
import json
import re
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VENDOR = ROOT / "portal/static/vendor"
PACKAGES = json.loads((VENDOR / "vendor.lock.json").read_text("utf-8"))["packages"]
NAMES = [package["name"] for package in PACKAGES]
OUR_PAGES = [
    path
    for path in [*ROOT.glob("portal/**/*"), *ROOT.glob("billing/**/*")]
    if path.suffix in {".css", ".js", ".html", ".svg"} and VENDOR not in path.parents
]
# what is data, or a font that lies beside the documents' own style sheet, comes from nowhere else
FOREIGN_URL = r"""\burl\(\s*(?!["']?data:|"\.\./fonts/[\w-]+\.ttf").{1,40}"""
THIRD_PARTY = (ROOT / "THIRD_PARTY.md").read_text("utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading of THIRD_PARTY.md, without its two heading lines."""
    _, _, rest = THIRD_PARTY.partition(f"## {heading}\n")
    section, _, _ = rest.partition("\n## ")
    table = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}


@pytest.mark.parametrize("package", PACKAGES, ids=NAMES)
def test_files_are_the_locked_ones(package):
    assert "LICENSE" in package["files"]
    for name, entry in package["files"].items():
        content = (ROOT / package["folder"] / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"], name


def test_nothing_else_lies_there():
    locked = {ROOT / package["folder"] / name for package in PACKAGES for name in package["files"]}
    ours = {VENDOR / "vendor.lock.json", VENDOR / "refresh.py"}
    assert files_below(VENDOR) | files_below(ROOT / "billing/fonts") == locked | ours


@pytest.mark.parametrize("path", sorted(VENDOR.rglob("*.css")), ids=lambda path: path.name)
def test_vendored_stylesheets_load_nothing(path):
    # A sourceMappingURL stays, so that the files are byte for byte those of the package: it is a relative
    # name, and only a browser's developer tools ever ask for it.
    text = path.read_text("utf-8")
    assert "@import" not in text
    assert not re.findall(FOREIGN_URL, text)


def test_vendored_scripts_name_no_address():
    for path in VENDOR.rglob("*.js"):
        assert not re.findall(r"https?://", path.read_text("utf-8")), path.name


@pytest.mark.parametrize("path", OUR_PAGES, ids=lambda path: path.name)
def test_ours_load_nothing_from_elsewhere(path):
    text = path.read_text("utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "@import" not in text
    assert not re.findall(FOREIGN_URL, text)
    assert not re.findall(r"""["'(=]\s*(?:https?:)?//""", text)


@pytest.mark.parametrize("path", [p for p in OUR_PAGES if p.suffix == ".html"], ids=lambda path: path.name)
def test_templates_name_only_files_that_exist(path):
    for name in re.findall(r"url_for\('static', filename='([^']+)'\)", path.read_text("utf-8")):
        assert (ROOT / "portal/static" / name).is_file(), name


def test_third_party_names_every_committed_package():
    assert {tuple(row[:4]) for row in rows("Files in this repository")} == {
        (package["name"], package["version"], package["license"], f"`{package['folder']}/`") for package in PACKAGES
    }


def test_third_party_names_every_runtime_library():
    locked = re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE)
    assert [row[0] for row in rows("Libraries at run time")] == sorted(set(locked))


@pytest.mark.parametrize(("name", "licence"), rows("Libraries at run time"))
def test_third_party_says_what_the_library_says(name, licence):
    try:
        expression = metadata(name).get("License-Expression")
    except PackageNotFoundError:
        return  # needed on another platform or Python version only
    # Older metadata has free words instead of an expression; those rows were read from the licence's text.
    assert licence == expression or (licence and not expression)


def test_no_registry_is_named():
    assert "://" not in (VENDOR / "refresh.py").read_text("utf-8") + json.dumps(PACKAGES)

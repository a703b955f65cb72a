"""What is installed elsewhere is what lies here: the wheel, the image and the documentation name the same things."""

import re
import tomllib
from pathlib import Path

import pytest

from base.settings import Settings
from console.doctor import PDF_PACKAGES
from console.health import PROCESSES

ROOT = Path(__file__).parents[2]
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
    "packages"
]


def test_every_room_is_in_the_wheel_and_in_the_image():
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "bench"}
    assert set(PACKAGES) == rooms | {"dictionaries"}
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert let_in == {*PACKAGES, "pyproject.toml", "requirements.lock", "README.md", "LICENSE", "THIRD_PARTY.md"}


@pytest.mark.parametrize("file", ["Dockerfile", "run", ".ci/run", "docs/operate.md"])
def test_everybody_installs_the_same_libraries_for_pdfs(file):
    assert PDF_PACKAGES in (ROOT / file).read_text()


def test_the_image_starts_as_nobody_in_particular():
    text = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["10001:10001"]
    assert "--require-hashes" in text


@pytest.mark.parametrize("file", sorted(path.relative_to(ROOT) for path in ROOT.glob("docs/**/*.md")), ids=str)
def test_what_the_documentation_names_exists(file):
    text = (ROOT / file).read_text()
    settings = {f"TOLLKEEPER_{name.upper()}" for name in Settings.model_fields} | {"TOLLKEEPER_SECRETS_DIR"}
    assert set(re.findall(r"\bTOLLKEEPER_[A-Z_]+", text)) <= settings
    assert set(re.findall(r"`tollkeeper health (\w+)`", text)) <= set(PROCESSES)
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / file).parent.joinpath(target).exists(), target
    for path in re.findall(r"`((?:base|billing|radius|coa|portal|console|packaging|tests)/[\w./]+)`", text):
        assert (ROOT / path).exists(), path

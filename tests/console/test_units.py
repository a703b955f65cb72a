"""The units of packaging/systemd: systemd accepts them, and each starts a command that the console has."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from base.settings import load
from console.cli import main
from console.health import PROCESSES

FOLDER = Path(__file__).parents[2] / "packaging" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
PROGRAM = "/opt/tollkeeper/bin/tollkeeper"


def values(path: Path, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", path.read_text(), re.MULTILINE)


def test_there_is_one_unit_per_process():
    assert [unit.name for unit in UNITS] == sorted(f"tollkeeper-{name}.service" for name in PROCESSES)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_each_starts_a_command_that_the_console_has(unit):
    (line,) = values(unit, "ExecStart")
    program, name, *arguments = shlex.split(line)
    assert program == PROGRAM
    command = main.commands[name]
    command.make_context(name, arguments, parent=click.Context(main))  # raises on an option that does not exist
    assert values(unit, "User") == ["tollkeeper"]
    assert values(unit, "EnvironmentFile") == ["/etc/tollkeeper/environment"]
    assert values(unit, "Type") == ["exec"]
    assert values(unit, "Restart") == ["on-failure"]
    assert values(unit, "WantedBy") == values(unit, "PartOf") == ["tollkeeper.target"]


def test_systemd_accepts_them(tmp_path):
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    folder = tmp_path / "units"
    shutil.copytree(FOLDER, folder)
    for unit in folder.glob("*.service"):  # systemd looks whether the program is there
        unit.write_text(unit.read_text().replace(PROGRAM, "/bin/true"))
    files = sorted([*folder.glob("*.service"), *folder.glob("*.target")])
    verdict = subprocess.run([program, "verify", *files], capture_output=True, text=True, timeout=60)
    assert (verdict.returncode, str(folder) in verdict.stderr) == (0, False), verdict.stderr


def test_the_example_of_the_environment_is_understood(monkeypatch, tmp_path):
    for line in (FOLDER / "environment").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            monkeypatch.setenv(name, value.replace("/etc/tollkeeper", str(tmp_path)))
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "tollkeeper_smtp_url").write_text("smtps://post:geheim@mail.example.net\n")
    config = load()
    assert config.public_url.startswith("https://")
    assert config.smtp_url.get_secret_value().endswith("geheim@mail.example.net")

"""docker-compose.yml as Debian's docker-compose reads it, and each of its commands as a real process that gets well."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from base import pulse
from tests.peers.peer import require_peer

ROOT = Path(__file__).parents[2]
FOREIGN = {"postgres", "broker"}
OURS = ("migrate", "radius", "ingest", "coa", "web", "worker", "documents", "beat")
IN_IMAGE = "/var/lib/tollkeeper"

Service = dict[str, Any]


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    """The whole file, with its anchors resolved by docker-compose."""
    program = require_peer("docker-compose")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("TOLLKEEPER_", "COMPOSE_"))
    }

    def ask(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [program, "-f", str(ROOT / "docker-compose.yml"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)

    quiet = ask("config", "-q")
    assert quiet.returncode == 0, quiet.stderr
    answer = ask("config", "--format", "json")
    if answer.stdout.startswith("{"):
        return json.loads(answer.stdout)
    # The older one is written in Python and answers in YAML only, which its own interpreter can read.
    interpreter = Path(program).read_text().partition("\n")[0].removeprefix("#!").split()
    translate = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"
    text = subprocess.run(
        [*interpreter, "-c", translate], input=ask("config").stdout, capture_output=True, text=True, check=True
    )
    return json.loads(text.stdout)


def mounts(service: Service) -> dict[str, str]:
    """Target → volume or folder, whichever way it is written."""
    pairs = []
    for mount in service.get("volumes", []):
        source, target = mount.split(":")[:2] if isinstance(mount, str) else (mount["source"], mount["target"])
        pairs.append((target, source))
    return dict(pairs)


def test_it_is_the_house_and_nothing_else(composed):
    assert set(composed["services"]) == FOREIGN | set(OURS)
    assert composed["services"]["postgres"]["image"] == "postgres:18"
    assert composed["services"]["broker"]["image"].startswith("valkey/valkey:8")
    assert "noeviction" in composed["services"]["broker"]["command"]


@pytest.mark.parametrize("name", OURS)
def test_each_process_of_ours_is_locked_in(composed, name):
    service = composed["services"][name]
    assert service["user"] == "10001:10001"
    assert service["read_only"] is True
    assert service["init"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "/tmp" in [mount.partition(":")[0] for mount in service["tmpfs"]]
    assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")
    assert ("healthcheck" in service) == (name != "migrate")
    assert service["image"] == composed["services"]["radius"]["image"]


def test_secrets_are_files_and_in_no_environment(composed):
    for name, service in composed["services"].items():
        for variable in service.get("environment", {}):
            tells = any(word in variable for word in ("PASSWORD", "SECRET", "_URL", "KEY"))
            known = variable.endswith("_FILE") or variable in ("TOLLKEEPER_PUBLIC_URL", "TOLLKEEPER_BROKER_URL")
            assert known or not tells, f"{name}: {variable}"
    postgres = composed["services"]["postgres"]
    assert postgres["environment"]["POSTGRES_PASSWORD_FILE"] == "/run/secrets/postgres_password"
    assert mounts(postgres)["/var/lib/postgresql"] == "postgres"


def test_radius_and_coa_speak_as_the_host_and_reach_the_database_without_a_network(composed):
    services = composed["services"]
    assert {name for name in services if services[name].get("network_mode") == "host"} == {"radius", "coa"}
    assert mounts(services["radius"])[IN_IMAGE] == mounts(services["ingest"])[IN_IMAGE] == "node"
    for name in ("postgres", *OURS):
        assert mounts(services[name])["/run/postgresql"] == "postgres-socket"
    assert "listen_addresses=" in services["postgres"]["command"]


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    """A redis-server without a disk, as the broker's container is one."""
    port = free_port(socket.SOCK_STREAM)
    argv = [
        require_peer("redis-server"),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
    ]
    server = subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.DEVNULL)
    yield f"redis://127.0.0.1:{port}/0"
    server.kill()
    server.wait()


class Containers:
    """The services as plain processes: their paths and ports are moved, all else is as the file says."""

    def __init__(self, services: dict[str, Service], folder: Path, database_url: str, keys: Path, broker: str) -> None:
        self._services, self._folder, self._stack = services, folder, ExitStack()
        self._secrets = folder / "secrets"
        self._secrets.mkdir()
        (self._secrets / "tollkeeper_database_url").write_text(database_url + "\n")
        (self._secrets / "tollkeeper_smtp_url").write_text(f"smtp://127.0.0.1:{free_port(socket.SOCK_STREAM)}\n")
        (self._secrets / "tollkeeper_keys").write_bytes(keys.read_bytes())
        (self._secrets / "tollkeeper_keys").chmod(0o400)
        self._moved = {
            "TOLLKEEPER_BROKER_URL": broker,
            "TOLLKEEPER_WEB_HOST": "127.0.0.1",
            "TOLLKEEPER_WEB_PORT": str(free_port(socket.SOCK_STREAM)),
            "TOLLKEEPER_RADIUS_HOSTS": "127.0.0.1",
            "TOLLKEEPER_RADIUS_AUTH_PORT": str(free_port(socket.SOCK_DGRAM)),
            "TOLLKEEPER_RADIUS_ACCT_PORT": str(free_port(socket.SOCK_DGRAM)),
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def environment(self, name: str) -> dict[str, str]:
        """As in the container, where paths and ports of this machine do not take the place of the container's."""
        written = self._services[name]["environment"]
        data = self._folder / "volumes" / mounts(self._services[name]).get(IN_IMAGE, f"tmpfs-of-{name}")
        data.mkdir(parents=True, exist_ok=True)
        own = {"TOLLKEEPER_SECRETS_DIR": str(self._secrets)}
        for variable, value in written.items():
            value = value.replace("/run/secrets", str(self._secrets)).replace(IN_IMAGE, str(data))
            own[variable] = self._moved.get(variable, value)
        listening = [variable for variable in self._moved if variable != "TOLLKEEPER_BROKER_URL"]
        return {**own, **{variable: self._moved[variable] for variable in listening}, "PATH": os.environ["PATH"]}

    def command(self, name: str, words: list[str]) -> list[str]:
        return [sys.executable, "-m", "console", *words]

    def run(self, name: str) -> int:
        return subprocess.run(
            self.command(name, self._services[name]["command"]), cwd=ROOT, env=self.environment(name), timeout=60
        ).returncode

    def start(self, name: str) -> None:
        with (self._folder / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                self.command(name, self._services[name]["command"]),
                cwd=ROOT, env=self.environment(name), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def health(self, name: str) -> subprocess.CompletedProcess[str]:
        """The file's own health check."""
        kind, program, *words = self._services[name]["healthcheck"]["test"]
        assert (kind, program) == ("CMD", "tollkeeper")
        return subprocess.run(
            self.command(name, words), cwd=ROOT, env=self.environment(name), capture_output=True, text=True, timeout=30
        )

    def wait_until_well(self, name: str) -> None:
        deadline = time.monotonic() + 60
        while (answer := self.health(name)).returncode:
            log = (self._folder / f"{name}.log").read_text()
            assert self._running[name].poll() is None, log
            assert time.monotonic() < deadline, f"{answer.stdout}{answer.stderr}\n{log}"
            time.sleep(0.2)

    def stop(self) -> dict[str, int]:
        for process in self._running.values():
            process.terminate()
        try:
            return {name: process.wait(10) for name, process in self._running.items()}
        finally:
            for process in self._running.values():
                process.kill()
                process.wait()


def test_every_command_becomes_well_with_its_environment(composed, database, broker, tmp_path):
    containers = Containers(
        composed["services"],
        tmp_path,
        database.url.replace("postgresql+psycopg://", "postgresql://"),
        database.keys_file,
        broker,
    )
    assert containers.run("migrate") == 0
    processes = [name for name in OURS if name != "migrate"]
    try:
        for name in processes:
            containers.start(name)
        for name in reversed(processes):
            containers.wait_until_well(name)
    finally:
        ended = containers.stop()
    assert ended == dict.fromkeys(processes, 0)


def test_a_process_that_hangs_is_seen(tmp_path):
    environment = {"TOLLKEEPER_DATA_DIR": str(tmp_path), "PATH": os.environ["PATH"]}

    def health(name: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "console", "health", name]
        return subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30)

    pulse.beat(tmp_path, "coa")
    assert health("coa").returncode == 0
    past = time.time() - 31
    os.utime(tmp_path / "run" / "coa", (past, past))
    assert health("coa").returncode == 1
    assert "last sign of life 3" in health("coa").stdout
    assert health("cao").returncode == 2
    assert health("web").returncode == 1

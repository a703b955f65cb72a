"""The databases that tests are given: made once, copied quickly, gone with the test run."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import sqlalchemy

from base.process import has_ended
from tests import postgres

ROOT = Path(__file__).parents[2]

RUN = """
import os, time
from pathlib import Path
import pytest, sqlalchemy
from tests import postgres

NOTES = Path(__file__).parent / "notes"

def migrate(url):
    with NOTES.open("a") as notes:
        notes.write("migrated ")
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE things (name text)"))
    engine.dispose()

@pytest.mark.parametrize("number", range(2))
def test_alone(number):
    url = postgres.create_database(postgres.migrated_template(migrate))
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("INSERT INTO things VALUES ('mine')"))
        assert connection.scalar(sqlalchemy.text("SELECT count(*) FROM things")) == 1
        if "POSTMASTERS" in os.environ:
            controller = os.getppid()
            with postgres._locked(), open(os.environ["POSTMASTERS"], "a") as postmasters:
                postmasters.write((postgres._folder() / "pg/data/postmaster.pid").read_text().split()[0] + " ")
            while os.getppid() == controller:
                time.sleep(0.02)
    postgres.drop_database(url)
"""


def migrate(url: str) -> None:
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE things (name text)"))
    engine.dispose()


def run_pytest(folder: Path, **environment: str) -> subprocess.Popen:
    (folder / "test_run.py").write_text(RUN)
    (folder / "tmp").mkdir()
    (folder / "tmp").chmod(0o755)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "TOLLKEEPER"))}
    ours = {
        "TMPDIR": str(folder / "tmp"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    argv = [sys.executable, "-m", "pytest", "-p", "xdist", "-n2", "-p", "no:cacheprovider", "--rootdir", folder, folder]
    return subprocess.Popen(argv, env=inherited | ours | environment, cwd=ROOT, stdout=subprocess.DEVNULL)


def wait_until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def open_folder():
    with tempfile.TemporaryDirectory(prefix="tollkeeper-run-", dir=postgres.quick_folder()) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_every_copy_is_fresh():
    for _ in range(2):
        url = postgres.create_database(postgres.migrated_template(migrate))
        engine = sqlalchemy.create_engine(url)
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("INSERT INTO things VALUES ('mine')"))
            assert connection.scalar(sqlalchemy.text("SELECT count(*) FROM things")) == 1
        engine.dispose()
        postgres.drop_database(url)
    with pytest.raises(sqlalchemy.exc.OperationalError):
        engine.connect()


def test_all_workers_share_one_server_that_ends_even_if_the_run_is_killed(open_folder):
    noted = open_folder / "postmasters"
    run = run_pytest(open_folder, POSTMASTERS=str(noted))
    wait_until(lambda: noted.exists() and noted.read_text().count(" ") == 2)
    (postmaster,) = {int(pid) for pid in noted.read_text().split()}
    assert (open_folder / "notes").read_text() == "migrated "
    assert not has_ended(postmaster)
    run.kill()
    run.wait()
    wait_until(lambda: has_ended(postmaster))
    wait_until(lambda: not list((open_folder / "tmp").glob("tktest_*")))


def test_another_server_may_be_given_and_is_left_clean(open_folder):
    elsewhere = postgres.create_database()
    run = run_pytest(open_folder, **{postgres.GIVEN: elsewhere})
    assert run.wait(60) == 0
    assert (open_folder / "notes").read_text() == "migrated "
    wait_until(lambda: not list((open_folder / "tmp").glob("tktest_*")))
    engine = sqlalchemy.create_engine(elsewhere)
    with engine.connect() as connection:
        names = connection.scalars(sqlalchemy.text("SELECT datname FROM pg_database")).all()
    engine.dispose()
    assert not [name for name in names if name.startswith(f"tktest_{run.pid}_")]
    postgres.drop_database(elsewhere)

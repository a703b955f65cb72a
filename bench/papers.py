"""Papers: how long a PDF takes once the fonts are loaded, and two hundred invoices from the run to the mail server.

In a house of its own, with the workers that `./run` starts and a real SMTP server that keeps every mail as a file.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine, func, select

from base.calendar import add_months
from base.database import connect
from base.settings import PREFIX
from bench.house import House
from bench.process import Broken, Process, cores, wait_for
from bench.report import Row, median
from billing.tables import message
from console.ports import bind_udp

INVOICES = 200
_WORKER = "from base.jobs import Lane; from billing.worker import main; main([{lanes}], {beat})"
_LANES = {"mail": "Lane.URGENT, Lane.CHARGES, Lane.MAIL", "documents": "Lane.DOCUMENTS"}
_ISSUE = """
import sys
from datetime import datetime
from billing.invoices import issue_due
print(len(issue_due(datetime.fromisoformat(sys.argv[1]))))
"""
_PDF = """
import json, time
from sqlalchemy import select
from base.business import load_business
from base.crypto import open_vault
from base.database import transaction
from base.settings import settings
from billing.documents import invoice_html, render_pdf
from billing.tables import invoice
vault = open_vault(settings().secret_keys)
took = []
with transaction() as tx:
    business = load_business(tx, vault)
    for invoice_id in tx.scalars(select(invoice.c.id).order_by(invoice.c.id).limit(60)).all():
        began = time.perf_counter()
        render_pdf(invoice_html(tx, business, vault, invoice_id))
        took.append(1000 * (time.perf_counter() - began))
print(json.dumps(sorted(took[10:])[len(took[10:]) // 2]))
"""


def run(runs: int) -> list[Row]:
    """Ours alone."""
    server_core, other_core = cores()
    with ExitStack() as held:
        place = os.environ.get("TMPDIR", "/var/tmp")
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="tollkeeper-papers-", dir=place)))
        folder.chmod(0o711)
        house = held.enter_context(House(folder, INVOICES, server_core, other_core))
        engine = connect(house.environment[f"{PREFIX}DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:"))
        held.callback(engine.dispose)
        port = _start_workers(held, house, folder, server_core, other_core)
        mailed = [_mail(house, engine, month) for month in range(runs)]
        pdf = [_pdf(house) for _ in range(runs)]
    assert port
    return [
        Row("one PDF, warm, ms", median(pdf), more_is_better=False, runs={"ours": pdf}, key="pdf_warm_ms"),
        Row(
            f"{INVOICES} invoices issued, rendered and mailed, s",
            median(mailed),
            more_is_better=False,
            runs={"ours": mailed},
            key=f"invoices_{INVOICES}_mailed_s",
        ),
    ]


def _start_workers(held: ExitStack, house: House, folder: Path, server_core: int, other_core: int) -> int:
    with bind_udp("127.0.0.1", 0, "") as free:
        port = int(free.getsockname()[1])
    house.environment |= {
        f"{PREFIX}SMTP_URL": f"smtp://127.0.0.1:{port}",
        f"{PREFIX}SANDBOX_MAIL_PORT": str(port),
    }
    sink = {**house.environment, f"{PREFIX}SANDBOX": "true", f"{PREFIX}RADIUS_HOSTS": "127.0.0.1"}
    programs = [("sink", "from sandbox.mail import serve; serve()", other_core, sink)]
    for name, lanes in _LANES.items():
        program = _WORKER.format(lanes=lanes, beat=False)
        programs.append((name, program, server_core if name == "documents" else other_core, house.environment))
    for name, program, core, environment in programs:
        argv = [sys.executable, "-c", program]
        held.enter_context(Process(argv, core, folder / f"{name}.log", environment=environment))
    return port


def _mail(house: House, engine: Engine, month: int) -> float:
    first = datetime.now(UTC) + timedelta(days=1)
    now = datetime.combine(add_months(first.date(), month), first.timetz())
    wanted = (month + 1) * INVOICES
    began = time.perf_counter()
    issued = _python(house, _ISSUE, now.isoformat())
    if int(issued) != INVOICES:
        raise Broken(f"{issued} invoices were issued, not {INVOICES}")
    wait_for(lambda: _sent(engine) >= wanted, 300, f"{wanted} mails")
    return time.perf_counter() - began


def _sent(engine: Engine) -> int:
    with engine.connect() as connection:
        sent = select(func.count()).where(message.c.kind == "invoice", message.c.state == "sent")
        return connection.scalar(sent) or 0


def _pdf(house: House) -> float:
    return float(json.loads(_python(house, _PDF)))


def _python(house: House, program: str, *argv: str) -> str:
    command = [sys.executable, "-c", program, *argv]
    done = subprocess.run(command, env=house.environment, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise Broken(f"it ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout.splitlines()[-1]

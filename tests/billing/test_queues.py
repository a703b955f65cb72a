"""The queues of the broker that lives in memory: all there before any thread uses one."""

import subprocess
import sys
from pathlib import Path

LOOK = """
from billing import worker
worker.declare_queues()
with worker.app.connection_for_write() as connection:
    exchanges = connection.default_channel.state.exchanges
    print(sorted((name, len(each["table"])) for name, each in exchanges.items() if name in {"urgent", "charges", "mail", "documents"}))
"""  # noqa: E501


def test_every_lane_has_its_queue_before_a_thread_can_declare_one():
    result = subprocess.run(
        [sys.executable, "-c", LOOK], cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60
    )
    assert result.stdout.strip() == "[('charges', 1), ('documents', 1), ('mail', 1), ('urgent', 1)]", result.stderr

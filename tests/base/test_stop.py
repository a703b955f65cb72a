"""A signal ends a wait, also when it comes while the wait is only beginning."""

import os
import subprocess
import sys

from base.stop import Stop

# The handler runs in the thread that waits, again and again, wherever that thread just is.
CHILD = """
import signal
from base.stop import stop_at
for round in range(400):  # each keeps two descriptors
    stop = stop_at(signal.SIGALRM)
    signal.setitimer(signal.ITIMER_REAL, 1e-6 + (round % 60) * 1e-6)
    while not stop.wait(0.00002):
        pass
print("over")
"""


def test_a_signal_never_hangs_the_thread_that_waits_for_it():
    done = subprocess.run(
        [sys.executable, "-c", CHILD], capture_output=True, text=True, timeout=30, env=dict(os.environ), check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("over", "")


def test_it_is_wished_once_and_stays_so():
    stop = Stop()
    assert not stop.wait(0.001)
    assert not stop.is_set()
    stop.set()
    stop.set()
    assert stop.wait() is stop.is_set() is True
    assert stop.wait(0)

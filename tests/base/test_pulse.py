"""Signs of life grow old, and are not written more often than anybody looks."""

import os
import time

from base import pulse


def test_a_pulse_grows_old(tmp_path):
    assert pulse.age(tmp_path, "radius") is None
    pulse.beat(tmp_path, "radius")
    assert pulse.age(tmp_path, "radius") < 5
    assert pulse.age(tmp_path, "ingest") is None
    past = time.time() - 100
    os.utime(tmp_path / "run" / "radius", (past, past))
    pulse.beat(tmp_path, "radius")  # within a second of the last one: nothing is touched
    assert 95 < pulse.age(tmp_path, "radius") < 105


def test_a_disk_that_refuses_stops_nobody(tmp_path):
    (tmp_path / "run").write_text("in the way")
    pulse.beat(tmp_path, "radius")
    assert pulse.age(tmp_path, "radius") is None

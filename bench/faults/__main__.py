"""One stage as a process: python -m bench.faults RESULTS FIRST COUNT; a line of JSON in RESULTS for each sequence."""

import json
import sys
import tempfile
import traceback
from pathlib import Path

from base.business import set_business
from base.crypto import open_vault
from base.database import transaction
from base.settings import settings
from bench.faults.machine import Machine
from bench.faults.stage import SETTINGS, Sequence, pretend_stripe


def main(results: Path, first: int, count: int) -> None:
    """Play seeds until one fails: after that the books of the stage are wrong."""
    vault = open_vault(settings().secret_keys)
    with tempfile.TemporaryDirectory(dir=settings().data_dir) as folder, pretend_stripe(Path(folder)) as address:
        with transaction() as tx:
            set_business(tx, vault, "system", **SETTINGS, stripe_api_base=address)
        machine = Machine(vault, address)
        with results.open("a") as lines:
            for seed in range(first, first + count):
                played = _play(machine, seed)
                told = {name: getattr(played, name) for name in ("seed", "problems", "deeds", "seen")}
                lines.write(json.dumps(told) + "\n")
                lines.flush()
                if played.problems:
                    return


def _play(machine: Machine, seed: int) -> Sequence:
    try:
        return machine.play(seed)
    except Exception as error:
        traceback.print_exc()
        return Sequence(seed, problems=[f"the machine broke: {type(error).__name__}: {error}"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

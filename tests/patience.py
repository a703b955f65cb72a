"""How long something may take when the machine has other things to do as well."""

import os


def at_most(seconds: float) -> float:
    """`seconds` on a machine with a core to spare; in proportion more while others wait for the cores, too."""
    return seconds * max(1.0, os.getloadavg()[0] / 2 / (os.cpu_count() or 1))

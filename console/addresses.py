"""Where the pretend provider of a data folder was started last, so that commands in another shell find it."""

import json
from pathlib import Path


def keep_addresses(data_dir: Path, addresses: dict[str, str]) -> None:
    """Write down the deployment settings that a start chose itself: ports, and what holds a port."""
    folder = data_dir / "sandbox"
    folder.mkdir(exist_ok=True)
    (folder / "addresses.json").write_text(json.dumps({"format": 1, "settings": addresses}, indent=1))


def load_addresses(data_dir: Path) -> dict[str, str]:
    """What was written down last; nothing where no start did, or one of another release in another way."""
    try:
        kept = json.loads((data_dir / "sandbox" / "addresses.json").read_text())
    except (OSError, ValueError):
        return {}
    settings: dict[str, str] = kept["settings"] if kept.get("format") == 1 else {}
    return settings

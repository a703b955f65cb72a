"""Fetch the committed third-party files again, by package name and version, and verify them.

    python portal/static/vendor/refresh.py                    every package as vendor.lock.json names it
    python portal/static/vendor/refresh.py NAME VERSION       that package moves to another version

The first form rewrites every file and stops when an archive's sha512 is not the one in the lock. The second
moves the package's folder, trusts the archive that the package registry serves and writes the new sums into
the lock: read the difference, then set the new names in the base_*.html layouts, THIRD_PARTY.md and any
licence written by hand. Both need `npm`; fonts are cut down with fontTools, which WeasyPrint brings along.

In the lock `from` is the path inside the package. A file whose `from` is null is written by hand (Tabler's
archive carries no licence text) and only moved along. `subset` holds the characters and layout features that
are kept of a font.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
LOCK = HERE / "vendor.lock.json"


def main(arguments: list[str]) -> None:
    """Refresh every package as locked, or one at another version; exits with a sentence when something is wrong."""
    if len(arguments) not in (0, 2):
        sys.exit(__doc__)
    lock = json.loads(LOCK.read_text("utf-8"))
    wanted = {package["name"]: package["version"] for package in lock["packages"]}
    if arguments:
        name, version = arguments
        if name not in wanted:
            sys.exit(f"{name} is not in {LOCK.name}.")
        wanted = {name: version}
    for package in lock["packages"]:
        if package["name"] in wanted:
            refresh(package, wanted[package["name"]])
            print(f"{package['name']} {package['version']}: {len(package['files'])} files")
    LOCK.write_text(json.dumps(lock, indent=2, ensure_ascii=False) + "\n", "utf-8")


def refresh(package: dict[str, Any], version: str) -> None:
    """Write the package's files at that version, and put what is now known of them into its entry of the lock."""
    with tempfile.TemporaryDirectory() as temporary:
        archive = fetch(package["name"], version, Path(temporary))
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        folder = ROOT / package["folder"]
        if version == package["version"]:
            if integrity != package["integrity"]:
                sys.exit(f"{package['name']}: the archive is {integrity}, the lock says {package['integrity']}.")
        else:
            package["folder"] = package["folder"].replace(package["version"], version)
            package["version"] = version
            package["integrity"] = integrity
            folder = folder.rename(ROOT / package["folder"])
        with tarfile.open(archive) as tar:
            for name, entry in package["files"].items():
                if entry["from"] is not None:
                    stream = tar.extractfile(f"package/{entry['from']}")
                    assert stream is not None, "a regular file"
                    content = stream.read()
                    if name.endswith(".ttf"):
                        content = cut(content, package["subset"], Path(temporary))
                    (folder / name).write_bytes(content)
                entry["sha256"] = hashlib.sha256((folder / name).read_bytes()).hexdigest()


def fetch(name: str, version: str, folder: Path) -> Path:
    """Let npm download and verify the package's archive; returns its path in the folder."""
    command = ["npm", "pack", "--loglevel=error", "--ignore-scripts", f"{name}@{version}"]
    if subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL).returncode:
        sys.exit(f"npm has no {name} {version}, or could not fetch it.")
    (archive,) = folder.glob("*.tgz")
    return archive


def cut(font: bytes, subset: dict[str, str], folder: Path) -> bytes:
    """Keep the named characters and layout features of a font, and no hinting (a PDF does not use it).

    One TrueType file per weight, because WeasyPrint 70 mixes up the glyphs of files that share a family name
    and differ in unicode-range, and because it unpacks woff2 anew for each document (280 ms, not 35).
    """
    whole, part = folder / "whole.ttf", folder / "part.ttf"
    whole.write_bytes(font)
    options = [f"--unicodes={subset['unicodes']}", f"--layout-features={subset['features']}"]
    options += ["--no-hinting", "--name-IDs=*", "--notdef-outline", f"--output-file={part}"]
    subprocess.run([sys.executable, "-m", "fontTools.subset", str(whole), *options], check=True)
    return part.read_bytes()


if __name__ == "__main__":
    main(sys.argv[1:])

"""Documentation that cannot go stale: what is generated is current, what is linked exists."""

import re
from pathlib import Path

import pytest

from console.described import markdown

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_page_of_settings_is_current():
    assert (ROOT / "docs" / "settings.md").read_text() == markdown() + "\n", (
        "run: ./run settings --markdown >docs/settings.md"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target

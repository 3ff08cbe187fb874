"""What the docs name is there: files, functions, commands and links."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "vast_jax/assets/README.md",
    *(ROOT / "docs").glob("*.md"),
]
ON_THE_WEB = re.compile(
    r"https://(?:github\.com|raw\.githubusercontent\.com)/vast-jax/vast_jax/(?:blob/)?main/([^\s)#]+)"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)
    missing = [link for link in links if not (page.parent / link).exists()]
    missing += [link for link in ON_THE_WEB.findall(text) if not (ROOT / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist(page):
    text = page.read_text(encoding="utf-8")
    modules = set(re.findall(r"python -m (vast_jax(?:\.\w+)*)", text))
    assert not [module for module in modules if importlib.util.find_spec(module) is None]
    scripts = set(re.findall(r"python ((?:tools/|configs/)?\w+\.py)", text))
    assert not [script for script in scripts if not (ROOT / script).is_file()]
    assert not [
        name for name in set(re.findall(r"configs/\w+\.py", text)) - {"configs/NAME.py"} if not (ROOT / name).is_file()
    ]


def test_each_symbol_of_the_paper_leads_to_code_that_is_there():
    rows = re.findall(r"^\|.*\|(.*)\|$", (ROOT / "docs/paper.md").read_text(encoding="utf-8"), re.MULTILINE)
    places = [place for row in rows for place in re.findall(r"`([\w/]+\.py)(?:: ([\w., ]+))?`", row)]
    assert len(places) > 40
    for file, names in places:
        path = ROOT / file if file.startswith("tools/") else ROOT / "vast_jax" / file
        assert path.is_file(), file
        for name in filter(None, re.split(r"[., ]+", names)):
            assert re.search(rf"^ *(def|class) {name}\b|^ *{name}\b *[:=]", path.read_text(), re.MULTILINE), (
                file,
                name,
            )


def test_the_front_page_is_a_screen_and_a_half():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120

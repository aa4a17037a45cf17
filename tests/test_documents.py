"""The documents: the reference is what the code says, and links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from script_runs import run_script

from pipeline.settings import PHASES, PROJECT_ROOT

DOCUMENTS = sorted(
    path for pattern in ("*.md", "docs/*.md", "benchmarks/*.md", "samples/*.md") for path in PROJECT_ROOT.glob(pattern)
)
FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
FILE_NAME = re.compile(r"`((?:docs|config|benchmarks|samples)/[\w./]+\.(?:md|py|sh|yaml|jinja)|[A-Z_]+\.md)`")


def prose(document: Path) -> str:
    """The text without its blocks of code."""
    return FENCED.sub("", document.read_text(encoding="utf-8"))


def anchors(document: Path) -> set[str]:
    """The names by which GitHub links to the headings: small letters, no punctuation, hyphens for spaces."""
    headings = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(prose(document)))
    return {heading.strip().replace(" ", "-") for heading in headings}


def broken_links(document: Path) -> list[str]:
    """The relative links of a document that lead nowhere."""
    broken = []
    for link in LINK.findall(prose(document)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


def test_the_reference_says_what_the_code_and_the_settings_files_say() -> None:
    made = run_script("docs/make_reference.py")
    assert (made.returncode, made.stderr) == (0, "")
    # if it differs: python docs/make_reference.py > docs/reference.md
    assert (PROJECT_ROOT / "docs" / "reference.md").read_text(encoding="utf-8") == made.stdout


def test_the_reference_explains_every_setting_of_every_settings_file() -> None:
    text = (PROJECT_ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^### config/(\S+)$", text, re.MULTILINE)) == {*PHASES}
    settings = re.findall(r"^\| `(\w+(?:\.\w+)+)` \| (.+) \| `(.+)` \| (.*) \|$", text, re.MULTILINE)
    assert len(settings) > 100
    assert [name for name, *_, meaning in settings if len(meaning) < 3] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(PROJECT_ROOT).as_posix())
def test_relative_links_lead_to_files_and_headings(document: Path) -> None:
    assert broken_links(document) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(PROJECT_ROOT).as_posix())
def test_files_that_a_document_names_exist(document: Path) -> None:
    assert [name for name in FILE_NAME.findall(prose(document)) if not (PROJECT_ROOT / name).exists()] == []


def test_a_link_to_a_missing_file_or_heading_is_found(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text("# Its name: `b`\n\n[1](#its-name-b) [2](#other) [3](a.md) [4](c.md) [5](https://a.b/c)\n")
    assert broken_links(document) == ["#other", "c.md"]

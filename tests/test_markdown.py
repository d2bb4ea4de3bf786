"""Relative links of Markdown files outside docs/, whose own links `make docs` checks."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from tools.reference.props import groups

REPOSITORY = Path(__file__).resolve().parents[1]
FILES = [
    name
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    if not name.startswith("docs/")
]


def links(text: str) -> Iterator[str]:
    """Targets of links and pictures, without code and without addresses."""
    prose = re.sub(r"^```.*?^```$|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if not re.match(r"[a-z]+:", target):
            yield target


def anchors(text: str) -> set[str]:
    """Anchors of the headings of a page, as GitHub and MyST make them."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", title.lower()).strip() for title in titles)
    return {title.replace(" ", "-") for title in plain}


def broken(name: str) -> list[str]:
    found = []
    file = REPOSITORY / name
    for link in links(file.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = (file.parent / path).resolve() if path else file
        if not target.exists():
            found.append(f"{link}: no such file")
        elif anchor and anchor not in anchors(target.read_text(encoding="utf-8")):
            found.append(f"{link}: no such heading")
    return found


@pytest.mark.parametrize("name", FILES)
def test_every_relative_link_leads_to_a_file_and_a_heading(name: str) -> None:
    assert broken(name) == []


def test_a_broken_link_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "REPOSITORY", tmp_path)
    (tmp_path / "b.md").write_text("# Some heading, quoted\n")
    (tmp_path / "a.md").write_text(
        "[a](b.md#some-heading-quoted) [b](b.md#gone) [c](gone.md) `[d](code.md)`\n"
    )
    assert broken("a.md") == ["b.md#gone: no such heading", "gone.md: no such file"]


# ---- examples


def python_blocks() -> Iterator[tuple[str, str]]:
    """Name of the file and text of each Python block of the site and of the READMEs."""
    for file in (*REPOSITORY.glob("docs/**/*.md"), *(REPOSITORY / name for name in FILES)):
        text = file.read_text(encoding="utf-8")
        for block in re.findall(
            r"^ *```python\n(.*?)^ *```$", text, flags=re.MULTILINE | re.DOTALL
        ):
            yield str(file.relative_to(REPOSITORY)), dedent(block)


def test_every_python_example_is_valid_and_names_props_that_exist() -> None:
    known = {prop.name for group in groups() for prop in group.props}
    wrong, tiers = [], 0
    for name, block in python_blocks():
        for node in ast.walk(ast.parse(block, name)):
            if not isinstance(node, ast.Call) or not ast.unparse(node.func).endswith("WorkerTier"):
                continue
            tiers += 1
            given = {one.arg for one in node.keywords if one.arg is not None}
            wrong += [f"{name}: {prop}" for prop in sorted(given - known)]
    assert tiers > 8
    assert wrong == []


# ---- prose wraps at 100 columns

PAGES = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
    cwd=REPOSITORY,
    capture_output=True,
    text=True,
    check=True,
).stdout.split()


def long_lines(text: str) -> list[str]:
    """Lines of prose above 100 columns; tables, code and lines with an address are exempt."""
    prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [
        line
        for line in prose.splitlines()
        if len(line) > 100
        and not re.match(r" *(\||#|<)| {4}\S", line)
        and "](http" not in line
        and len(re.sub(r"!?\[[^\]]*\]\([^)]*\)|`[^`]*`", "", line)) > 60
    ]


@pytest.mark.parametrize("name", PAGES)
def test_prose_wraps_at_100_columns(name: str) -> None:
    assert long_lines((REPOSITORY / name).read_text(encoding="utf-8")) == []

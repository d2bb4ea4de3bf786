"""docs/llms.txt, the list of pages for language models, from the pages and the landing page.

The form is that of llmstxt.org: a title, a summary, and lists of links with a sentence each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tools.reference.constants import ROOT

DOCS: Final = ROOT / "docs"
LLMS_FILE: Final = DOCS / "llms.txt"
_TREE: Final = re.compile(
    r"^```\{toctree\}\n(?P<options>(?::[^\n]*\n)*)\n(?P<pages>[^`]*)^```", re.MULTILINE
)
_CAPTION: Final = re.compile(r"^:caption: (.+)$", re.MULTILINE)
#: Longest sentence of a page in the list, characters.
_LONGEST: Final = 200


def llms_text() -> str:
    """Return the file."""
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    lines = [f"# {_title(index)}\n", f"> {_summary(index)}\n"]
    for tree in _TREE.finditer(index):
        caption = _CAPTION.search(tree["options"])
        lines.append(f"## {caption[1] if caption else 'Start'}\n")
        lines += [_entry(name) for name in tree["pages"].split()]
        lines.append("")
    return "\n".join(lines)


def _entry(name: str) -> str:
    page = DOCS / f"{name}.md"
    text = "\n".join(_lines_of(page))
    summary = _summary(text)
    return f"- [{_title(text)}]({name}.html)" + (f": {summary}" if summary else "")


def _lines_of(page: Path) -> Iterator[str]:
    """Return a page's lines; a page that includes another file has that file's."""
    text = page.read_text(encoding="utf-8")
    included = re.match(r"```\{include\} (\S+)", text)
    if included is not None:
        text = (page.parent / included[1]).read_text(encoding="utf-8")
    yield from text.splitlines()


def _title(text: str) -> str:
    found = re.search(r"^# (.+)$", text, re.MULTILINE)
    assert found is not None, "a page begins with its title"
    return found[1].replace("`", "")


def _summary(text: str) -> str:
    """Return the first sentence of a page's prose, or "" if it begins with none."""
    without_code = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for paragraph in without_code.split("\n\n")[1:]:
        if re.match(r"[A-Z*`]", paragraph) and not paragraph.startswith("Generated "):
            sentence = re.split(r"(?<=[.:]) (?=[A-Z])", " ".join(paragraph.split()))[0]
            sentence = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", sentence)
            sentence = sentence.replace("*", "").replace("`", "").rstrip(":")
            return sentence if len(sentence) <= _LONGEST else ""
    return ""

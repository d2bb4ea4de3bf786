"""Makes text that was written outside this process harmless for a terminal."""

from __future__ import annotations


def printable(text: str, *, lines: bool = False) -> str:
    """Return the text with every character escaped that a terminal acts on or does not show.

    Those are controls (which move the cursor, set the title, or hide what was printed), controls
    of the direction of writing (which change the order of what is read), and characters without a
    form, such as a zero-width space. `\\x1b` stands for the escape character, as in Python.

    Args:
        lines: whether line feeds and tabs stay as they are.
    """
    if text.isprintable():
        return text
    spared = "\n\t" if lines else ""
    return "".join(c if c.isprintable() or c in spared else repr(c)[1:-1] for c in text)

"""Errors of a boot, each with a hint for the person who runs the tier."""

from __future__ import annotations


class BootstrapError(Exception):
    """A boot cannot continue. Its text is a sentence for the person who runs the tier.

    Args:
        hint: what to do about it.
        output: the last lines that a command printed, or of a log.
    """

    def __init__(self, text: str, *, hint: str = "", output: str = "") -> None:
        self.text = text
        self.hint = hint
        self.output = output
        super().__init__(text)

    def __str__(self) -> str:
        parts = [self.text]
        if self.hint:
            parts.append(f"Hint: {self.hint}.")
        if self.output.strip():
            parts.append("Its last lines:\n" + _indented(self.output))
        return "\n".join(parts)


class CommandFailed(BootstrapError):
    """A command ended with an exit code other than 0, or not in time."""


class InvalidInstance(BootstrapError):
    """`instance.json` cannot be used; `problems` lists every reason."""

    def __init__(self, source: str, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"{source}: " + "; ".join(problems), hint="deploy the stack again")


class PackagingError(RuntimeError):
    """The daemon's bundle cannot be made from the installed packages; the text names the reason."""


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines())

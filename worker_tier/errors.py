"""What the constructs raise: every problem at once."""

from __future__ import annotations

from collections.abc import Iterable


class InvalidProps(ValueError):
    """Props that cannot be used.

    Args:
        path: the construct's path in the tree, such as `MyStack/Worker`.
        problems: every problem found, not only the first; each has what happened, the value, what
            is allowed, and a hint.
    """

    def __init__(self, path: str, problems: Iterable[str]) -> None:
        self.path = path
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"{path} cannot be built from its props:\n{lines}")


class InvalidApplication(ValueError):
    """An application that cannot be put on instances.

    Args:
        source: its directory or image.
        problems: every problem found, not only the first.
    """

    def __init__(self, source: str, problems: Iterable[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"the application {source} cannot be used:\n{lines}")

"""Estimates how long texts become once the deployment has put its values in.

The CDK writes a token for each value that only the deployment knows. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

#: Token in a text, and its name, if it has a telling one.
TOKEN: Final = re.compile(r"[$#]\{Token\[([A-Za-z.]*)[^\]]*\]\}")
#: Most characters of the values that are known by name.
_KNOWN_CHARACTERS: Final = {
    "AWS.AccountId": 12,
    "AWS.Partition": 10,
    "AWS.Region": 14,
    "AWS.URLSuffix": 16,
}
#: Characters that any other value is expected to have at most: an ARN with a generated name. The
#: CDK counts 150. A parameter of a stack may have up to 4,096.
VALUE_CHARACTERS: Final = 200


@dataclass(frozen=True, kw_only=True)
class TextSize:
    """The size of a text, in bytes.

    Args:
        known: of what is known at synth.
        values: most that each value is expected to have that only the deployment knows.
    """

    known: int
    values: tuple[int, ...]

    @property
    def expected(self) -> int:
        """The most that the whole text is expected to have, in bytes."""
        return self.known + sum(self.values)


def size_of(text: str) -> TextSize:
    """Return the size of a text that may have tokens in it."""
    return TextSize(
        known=len(TOKEN.sub("", text).encode()),
        values=tuple(
            _KNOWN_CHARACTERS.get(name.rstrip("."), VALUE_CHARACTERS)
            for name in TOKEN.findall(text)
        ),
    )


def base64_bytes(size: int) -> int:
    """Return the size that so many bytes have in Base64."""
    return -(-size // 3) * 4

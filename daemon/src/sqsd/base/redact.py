"""Takes secrets out of texts that others wrote: AWS quotes what it refuses.

An error about a handle has the handle in it, and one about a signature the whole request that
should have been signed, session token included.
"""

from __future__ import annotations

import re
from typing import Final

#: Room for AWS's words and for the hint.
LONGEST: Final = 800
REDACTED: Final = "[redacted]"
_LABEL: Final = (
    r"(receipt[ _-]?handle|x-amz-security-token|(?:security|session)[ _-]?token"
    r"|secret[ _-]?(?:access[ _-]?)?key|signature|authorization)"
)
#: Labels are kept, for they explain; what follows them goes: `Signature=ab..`, `handle "AQEB.."`.
_LABELLED: Final = re.compile(
    _LABEL + r"""(["']?\s*[:=]\s*|\s+(?=["']))("[^"]*"|'[^']*'|[^\s"',;&]+)""", re.IGNORECASE
)
#: SQS's own order of words.
_VALUE_FOR: Final = re.compile(r"(Value\s+)(\S+)(\s+for parameter ReceiptHandle)", re.IGNORECASE)
_ACCESS_KEY: Final = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b")
#: Handles and tokens are longer than anything else a message from AWS has in one piece.
_LONG: Final = re.compile(r"[A-Za-z0-9+/=_%-]{120,}")


def redact(text: str) -> str:
    """`text` without receipt handles, tokens, keys and signatures, at most `LONGEST` letters."""
    text = _LONG.sub(REDACTED, text)
    text = _LABELLED.sub(lambda found: f"{found[1]}{found[2]}{REDACTED}", text)
    text = _VALUE_FOR.sub(lambda found: f"{found[1]}{REDACTED}{found[3]}", text)
    text = _ACCESS_KEY.sub(REDACTED, text)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."

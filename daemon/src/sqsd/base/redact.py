"""Removes secrets from error texts: AWS quotes what it refuses.

An error about a receipt handle contains the handle. One about a signature contains the whole
request that should have been signed, session token included.
"""

from __future__ import annotations

import re
from typing import Final

#: Longest redacted text, characters; enough for an error of AWS and a hint.
LONGEST: Final = 800
#: Replaces each secret.
REDACTED: Final = "[redacted]"
_LABEL: Final = (
    r"(receipt[ _-]?handle|x-amz-security-token|(?:security|session)[ _-]?token"
    r"|secret[ _-]?(?:access[ _-]?)?key|signature|authorization)"
)
#: A label and the secret after it: `Signature=ab..`, `handle "AQEB.."`. The label stays.
_LABELLED: Final = re.compile(
    _LABEL + r"""(["']?\s*[:=]\s*|\s+(?=["']))("[^"]*"|'[^']*'|[^\s"',;&]+)""", re.IGNORECASE
)
#: A receipt handle in the phrase that SQS uses.
_VALUE_FOR: Final = re.compile(r"(Value\s+)(\S+)(\s+for parameter ReceiptHandle)", re.IGNORECASE)
_ACCESS_KEY: Final = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b")
#: A text without blanks that is as long as only handles and tokens are in an error of AWS.
_LONG: Final = re.compile(r"[A-Za-z0-9+/=_%-]{120,}")


def redact(text: str) -> str:
    """Return `text` without handles, tokens, keys and signatures, cut to `LONGEST` characters."""
    text = _LONG.sub(REDACTED, text)
    text = _LABELLED.sub(lambda found: f"{found[1]}{found[2]}{REDACTED}", text)
    text = _VALUE_FOR.sub(lambda found: f"{found[1]}{REDACTED}{found[3]}", text)
    text = _ACCESS_KEY.sub(REDACTED, text)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."

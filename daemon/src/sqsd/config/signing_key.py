"""Reads the secret that signs requests from its file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqsd.contract import InvalidSettings

#: Least length of a secret, bytes; a shorter one can be guessed.
SHORTEST: Final = 16


def read_signing_key(path: str | None) -> bytes | None:
    """Return the file's content without surrounding white space, or None if `path` is None.

    Raises:
        InvalidSettings: the file cannot be read, or the secret is shorter than 16 bytes.
    """
    if path is None:
        return None
    try:
        secret = Path(path).read_bytes().strip()
    except OSError as error:
        problem = (
            f"signing_key_file {path} cannot be read ({error.strerror}): put the secret there,"
            " readable by the daemon's user, or set it to null for unsigned requests"
        )
        raise InvalidSettings([problem], "sqsd options") from error
    if len(secret) < SHORTEST:
        problem = f"signing_key_file {path} must hold at least {SHORTEST} bytes, got {len(secret)}"
        raise InvalidSettings([problem], "sqsd options")
    return secret

"""The secret that signs requests, read from its file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqsd.contract import InvalidSettings

#: Bytes; fewer can be guessed.
SHORTEST: Final = 16


def read_signing_key(path: str | None) -> bytes | None:
    """The file's content less surrounding white space; None without a file.

    Raises:
        InvalidSettings: it cannot be read, or is too short.
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

"""Reads the keys that sign requests from their file, and refuses a file that is not safe."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from sqsd.contract import InvalidSettings

#: Least length of a key, characters. HMAC-SHA256 wants 32 bytes (RFC 2104, section 3).
SHORTEST: Final = 32
#: Most keys of a file: the one in use and, during a rotation, another.
MOST_KEYS: Final = 2
#: Largest file that is read, bytes.
_LARGEST: Final = 4_096
#: Least number of different characters in a key: fewer are a placeholder.
_FEWEST_CHARACTERS: Final = 8
_MAKE_ONE: Final = "`openssl rand -hex 32` makes one"


def read_signing_keys(path: str | None, *, any_owner: bool = False) -> tuple[bytes, ...]:
    """Return the keys of a file, one a line, or none if `path` is None.

    Args:
        any_owner: whether the file may belong to any user, for a check on behalf of one.

    Raises:
        InvalidSettings: with every problem found. The file cannot be read, is no regular file,
            belongs to another user, can be read by one, or does not hold one or two usable keys.
    """
    if path is None:
        return ()
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise InvalidSettings([_unreadable(path, error)], "sqsd options") from error
    try:
        problems = _file_problems(os.fstat(descriptor), any_owner)
        content = b"" if problems else os.read(descriptor, _LARGEST + 1)
    except OSError as error:
        raise InvalidSettings([_unreadable(path, error)], "sqsd options") from error
    finally:
        os.close(descriptor)
    keys = tuple(line for raw in content.splitlines() if (line := raw.strip()))
    if not problems:
        problems = _key_problems(keys, len(content))
    if problems:
        named = [f"signing_key_file {path} {problem}" for problem in problems]
        raise InvalidSettings(named, "sqsd options")
    return keys


def _unreadable(path: str, error: OSError) -> str:
    reason = "it is a symbolic link" if Path(path).is_symlink() else error.strerror
    return (
        f"signing_key_file {path} cannot be read ({reason}): put the key in a regular file there"
        " that belongs to the daemon's user, or set the option to null for unsigned requests"
    )


def _file_problems(found: os.stat_result, any_owner: bool) -> list[str]:
    """Return why a file must not hold a key. What others can read or replace is no secret."""
    if not stat.S_ISREG(found.st_mode):
        return ["must be a regular file, not a directory, a pipe, a socket or a device"]
    problems = []
    user = os.geteuid()
    if not any_owner and found.st_uid not in (0, user):
        problems.append(
            f"belongs to user {found.st_uid}, who can replace the key: it must belong to the"
            f" daemon's user ({user}) or to root; chown it"
        )
    # A file of root may be readable by a group of its choice: that of root, or the daemon's own.
    # What systemd's LoadCredential= makes has root's, with the mask of an access control list,
    # which is shown as the group's bits.
    groups = (0, os.getegid())
    by_group = found.st_uid == 0 and (any_owner or found.st_gid in groups)
    mode = stat.S_IMODE(found.st_mode)
    if mode & (0o037 if by_group else 0o077):
        problems.append(
            f"has mode {mode:04o}, so that its group or other users have access to the key: only"
            f" its owner may; chmod 0400, chown {user}, and use another key"
        )
    return problems


def _key_problems(keys: tuple[bytes, ...], size: int) -> list[str]:
    """Return why keys cannot be used. No problem quotes a key."""
    if size > _LARGEST:
        return [f"must have at most {_LARGEST} bytes, one key a line; {_MAKE_ONE}"]
    if not keys:
        return [f"is empty: it must hold a key; {_MAKE_ONE}"]
    problems = []
    if len(keys) > MOST_KEYS:
        problems.append(
            f"must hold {MOST_KEYS} keys at most, one a line, got {len(keys)}: the one in use, and"
            " another while it is replaced"
        )
    for number, key in enumerate(keys[:MOST_KEYS], 1):
        problems += [f"line {number} {problem}" for problem in _problems_of_one(key)]
    if len(set(keys)) < len(keys):
        problems.append("holds the same key twice; remove one")
    return problems


def _problems_of_one(key: bytes) -> list[str]:
    problems = []
    if len(key) < SHORTEST:
        problems.append(f"must have at least {SHORTEST} characters, got {len(key)}; {_MAKE_ONE}")
    elif len(set(key)) < _FEWEST_CHARACTERS:
        problems.append(f"is no random text, so that it can be guessed; {_MAKE_ONE}")
    if any(not 0x21 <= byte <= 0x7E for byte in key):
        problems.append(f"must be printable ASCII without blanks; {_MAKE_ONE}")
    return problems

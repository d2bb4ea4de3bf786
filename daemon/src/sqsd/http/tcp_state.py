"""Asks the kernel about a TCP connection: whether the peer has acknowledged what was written."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from typing import Final, NamedTuple


class TcpState(NamedTuple):
    """Holds what the kernel knows of a connection: whether it was reset, and bytes acknowledged."""

    was_reset: bool
    acknowledged_bytes: int


#: `TCP_CLOSE` of Linux (linux/tcp_states.h): the state of an open socket after a reset.
_TCP_CLOSE: Final = 7
#: Offset in bytes of `tcpi_bytes_acked` in Linux's `struct tcp_info`: it follows 8 bytes of flags,
#: 24 32-bit numbers and two pacing rates (linux/tcp.h, since 4.1).
_BYTES_ACKED_AT: Final = 8 + 24 * 4 + 2 * 8


def tcp_state(sock: socket.socket | None) -> TcpState | None:
    """Return the state of a TCP connection, or None if the system does not provide it."""
    if sock is None or not hasattr(socket, "TCP_INFO"):
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED_AT + 8)
    except OSError:
        return None
    if len(info) < _BYTES_ACKED_AT + 8:
        return None
    return TcpState(info[0] == _TCP_CLOSE, struct.unpack_from("=Q", info, _BYTES_ACKED_AT)[0])


def unacknowledged_bytes(sock: socket.socket | None) -> int:
    """Return how many written bytes the peer's kernel has not taken yet, or 0 if unknown."""
    if sock is None:
        return 0
    try:
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    except OSError:
        return 0
    return int(struct.unpack("=i", answer)[0])

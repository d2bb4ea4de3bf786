"""What the kernel knows of a TCP connection: whether the other side has taken what was written."""

from __future__ import annotations

import socket
import struct
from typing import Final, NamedTuple


class TcpState(NamedTuple):
    """What the kernel knows of a connection that has been written to and has seen its end."""

    was_reset: bool
    acknowledged_bytes: int


#: `TCP_CLOSE` of Linux's states (linux/tcp_states.h): with a socket still open, after a reset.
_TCP_CLOSE: Final = 7
#: Where Linux's `struct tcp_info` has `tcpi_bytes_acked`: a 64-bit number after 8 bytes of flags,
#: 24 32-bit numbers and two pacing rates (linux/tcp.h, since 4.1).
_BYTES_ACKED_AT: Final = 8 + 24 * 4 + 2 * 8


def tcp_state(sock: socket.socket | None) -> TcpState | None:
    """The state of a TCP connection, or None where the system does not tell."""
    if sock is None or not hasattr(socket, "TCP_INFO"):
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED_AT + 8)
    except OSError:
        return None
    if len(info) < _BYTES_ACKED_AT + 8:
        return None
    return TcpState(info[0] == _TCP_CLOSE, struct.unpack_from("=Q", info, _BYTES_ACKED_AT)[0])

"""Tries the rules of an instance in networks made for it, one of which has a metadata service.

Run there as root within `unshare --net`: `python3 metadata_rules.py RULES USER...`. It prints who
reached the service by which way, `before` the rules were loaded and `after`, as a JSON object.
"""

from __future__ import annotations

import json
import os
import pwd
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Final

IPV4: Final = "169.254.169.254"
IPV6: Final = "fd00:ec2::254"
#: Way -> family, address, protocol. A socket of IPv6 may connect to an address of IPv4, too; 262
#: is Multipath TCP.
WAYS: Final = {
    "ipv4": (socket.AF_INET, IPV4, socket.IPPROTO_TCP),
    "ipv6": (socket.AF_INET6, IPV6, socket.IPPROTO_TCP),
    "mapped": (socket.AF_INET6, f"::ffff:{IPV4}", socket.IPPROTO_TCP),
    "mptcp": (socket.AF_INET, IPV4, 262),
}
#: Network of the service, and of a container: the instance's address and the other one.
_NETWORKS: Final = {
    "service": ("10.9.1.1", "10.9.1.2", "fd09:1::1", "fd09:1::2"),
    "container": ("10.9.2.1", "10.9.2.2", "fd09:2::1", "fd09:2::2"),
}
_SECONDS: Final = 3.0


def main(rules: str, users: list[str]) -> dict[str, Any]:
    """Make the networks, and try all before and after the rules are loaded."""
    _sh("ip link set lo up")
    namespaces = {name: subprocess.Popen(["unshare", "--net", "sleep", "60"]) for name in _NETWORKS}
    try:
        within = {name: f"nsenter --net -t {p.pid}" for name, p in namespaces.items()}
        for name, process in namespaces.items():
            _connect(name, process.pid, within[name])
        _sh(f"ip route add {IPV4}/32 dev service")
        _sh(f"ip -6 route add {IPV6}/128 dev service")
        _sh(f"{within['service']} ip addr add {IPV4}/32 dev peer")
        _sh(f"{within['service']} ip -6 addr add {IPV6}/128 dev peer nodad")
        this = f"{sys.executable} {__file__}"
        server = subprocess.Popen(
            f"{within['service']} {this} serve".split(), stdout=subprocess.PIPE
        )
        namespaces["server"] = server
        assert server.stdout is not None
        server.stdout.readline()
        container = f"{within['container']} {this} try".split()
        before = _try_all(users, container)
        _sh(f"nft -f {rules}")
        return {"before": before, "after": _try_all(users, container)}
    finally:
        for process in namespaces.values():
            process.kill()
            process.wait()


def _connect(name: str, pid: int, within: str) -> None:
    """Connect this network and the one of a process, as a router to what is behind it."""
    ours, theirs, ours_6, theirs_6 = _NETWORKS[name]
    # Until its own network is there, the process is still in this one.
    own = Path("/proc/self/ns/net").readlink()
    while Path(f"/proc/{pid}/ns/net").readlink() == own:
        pass
    _sh(f"ip link add {name} type veth peer name peer netns {pid}")
    # Without addresses that only come after a second.
    _sh(f"ip link set {name} addrgenmode none")
    _sh(f"{within} ip link set peer addrgenmode none")
    _sh(f"ip addr add {ours}/24 dev {name}")
    _sh(f"ip -6 addr add {ours_6}/64 dev {name} nodad")
    _sh(f"ip link set {name} up")
    _sh(f"{within} ip addr add {theirs}/24 dev peer")
    _sh(f"{within} ip -6 addr add {theirs_6}/64 dev peer nodad")
    _sh(f"{within} ip link set peer up")
    _sh(f"{within} ip route add default via {ours}")
    _sh(f"{within} ip -6 route add default via {ours_6}")
    for switch in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        Path(f"/proc/sys/net/{switch}").write_text("1", encoding="utf-8")


def serve() -> None:
    """Answer on both addresses until killed."""
    for family, address in ((socket.AF_INET, IPV4), (socket.AF_INET6, IPV6)):
        server = socket.socket(family)
        server.bind((address, 80))
        server.listen()
        threading.Thread(target=_answer, args=(server,)).start()
    print("serving", flush=True)


def _answer(server: socket.socket) -> None:
    while True:
        connection, _ = server.accept()
        with connection:
            connection.sendall(connection.recv(64))


def _try_all(users: list[str], container: list[str]) -> dict[str, Any]:
    """Try every way as every user, and by a command within the container's network, at once."""
    running = {user: _as_user(user) for user in users}
    running["container"] = subprocess.Popen(container, stdout=subprocess.PIPE)
    return {name: json.loads(process.communicate()[0]) for name, process in running.items()}


def _as_user(user: str) -> subprocess.Popen[bytes]:
    entry = pwd.getpwnam(user)
    return subprocess.Popen(
        [sys.executable, __file__, "try"],
        user=entry.pw_uid,
        group=entry.pw_gid,
        extra_groups=[],
        stdout=subprocess.PIPE,
    )


def _tried(way: str) -> str:
    try:
        if way == "udp":
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"x", (IPV4, 53))
            return "sent"
        family, address, protocol = WAYS[way]
        with socket.socket(family, socket.SOCK_STREAM, protocol) as client:
            client.settimeout(_SECONDS)
            client.connect((address, 80))
            client.sendall(b"hello")
            return "reached" if client.recv(64) == b"hello" else "empty"
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "timed out"
    except OSError as error:
        return os.strerror(error.errno or 0)


def _sh(command: str) -> None:
    subprocess.run(command.split(), check=True)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    elif sys.argv[1] == "try":
        print(json.dumps({way: _tried(way) for way in (*WAYS, "udp")}))
    else:
        print(json.dumps(main(sys.argv[1], sys.argv[2:])))

"""Serves all that an instance can reach: metadata service, DNS, AWS over TLS, a package mirror.

Runs inside the test's own network namespace, where no other network is. AWS is the embedded one;
what it does not know (signals, and the hook on termination) is recorded here.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote

GATEWAY: Final = "10.77.0.1"
METADATA: Final = "169.254.169.254"
DNS: Final = "169.254.169.253"
ADDRESS: Final = "10.77.0.10"
MAC: Final = "02:00:0a:4d:00:0a"
MIRROR: Final = "mirror.test"
INSTANCE_ID: Final = "i-0123456789abcdef0"
REGION: Final = "us-east-1"
_NAMES: Final = (
    "*.amazonaws.com",
    f"*.{REGION}.amazonaws.com",
    f"*.s3.{REGION}.amazonaws.com",
)
#: User agent of cloud-init, which requests no token outside EC2's own hardware.
_WITHOUT_TOKEN: Final = ("Cloud-Init", "python-requests")
_RECORDED: Final = (
    "SignalResource",
    "RecordLifecycleActionHeartbeat",
    "CompleteLifecycleAction",
)


class Vpc:
    """Serves until `close`.

    Args:
        directory: has the certificates of `make_certificates`.
        aws: address of the embedded AWS.
    """

    def __init__(self, directory: Path, aws: str) -> None:
        self.directory = directory
        self.aws = aws
        self.instance_id = INSTANCE_ID
        self.user_data = ""
        #: Name of the instance's role, or None if it has none.
        self.role: str | None = "worker"
        self.lifecycle_state: str | None = None
        self.repository = directory
        #: Actions of AWS that were called, with their parameters and times.
        self.calls: list[dict[str, Any]] = []
        self.refused_metadata = 0
        #: Names of AWS hosts that the instance has resolved.
        self.names: set[str] = set()
        self.tokens: set[str] = set()
        #: Requests to these hosts get this status instead of an answer.
        self.broken: dict[str, int] = {}
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(directory / "server.pem", directory / "server.key")
        self._servers = [
            self._serve(METADATA, 80, _Metadata, None),
            self._serve(GATEWAY, 80, _Front, None),
            self._serve(GATEWAY, 443, _Front, tls),
        ]
        self._dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._dns.bind((DNS, 53))
        threading.Thread(target=self._resolve, daemon=True).start()

    @property
    def authority(self) -> Path:
        """The certificate that instances trust."""
        return self.directory / "ca.pem"

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self._dns.close()

    def called(self, action: str) -> list[dict[str, Any]]:
        return [call for call in self.calls if call["Action"] == action]

    def signals(self) -> list[tuple[str, str]]:
        """(status, instance id) of every signal to CloudFormation."""
        return [(call["Status"], call["UniqueId"]) for call in self.called("SignalResource")]

    def services(self) -> set[str]:
        """AWS's services that the instance asked for, by the names of their hosts."""
        hosts = (name.removesuffix(f".{REGION}.amazonaws.com") for name in self.names)
        return {host.rpartition(".")[2] for host in hosts}

    def metadata(self) -> dict[str, str]:
        """Values of the metadata service, by path below the version."""
        role = {}
        if self.role is not None:
            keys = {
                "Code": "Success",
                "Type": "AWS-HMAC",
                # The embedded AWS takes twelve digits as the account.
                "AccessKeyId": "111111111111",
                "SecretAccessKey": "secret",
                "Token": "token",
                "LastUpdated": _iso(0),
                "Expiration": _iso(6),
            }
            role = {f"iam/security-credentials/{self.role}": json.dumps(keys)}
        state = {}
        if self.lifecycle_state is not None:
            state = {"autoscaling/target-lifecycle-state": self.lifecycle_state}
        interface = f"network/interfaces/macs/{MAC}"
        values = {
            "ami-id": "ami-0test",
            "instance-id": self.instance_id,
            "instance-type": "t3.micro",
            "local-hostname": "ip-10-77-0-10.ec2.internal",
            "hostname": "ip-10-77-0-10.ec2.internal",
            "local-ipv4": ADDRESS,
            "mac": MAC,
            "placement/availability-zone": f"{REGION}a",
            "placement/region": REGION,
            "services/domain": "amazonaws.com",
            "services/partition": "aws",
            f"{interface}/device-number": "0",
            f"{interface}/local-ipv4s": ADDRESS,
            f"{interface}/subnet-ipv4-cidr-block": "10.77.0.0/24",
            **role,
            **state,
        }
        found = {f"meta-data/{name}": value for name, value in values.items()}
        document = {"instanceId": self.instance_id, "region": REGION, "accountId": "111111111111"}
        found["dynamic/instance-identity/document"] = json.dumps(document)
        found["dynamic/instance-identity/signature"] = "c2lnbmF0dXJl"
        if self.user_data:
            found["user-data"] = self.user_data
        return found

    def _serve(
        self, address: str, port: int, kind: type[_Handler], tls: ssl.SSLContext | None
    ) -> ThreadingHTTPServer:
        handler = type(kind.__name__, (kind,), {"vpc": self})
        server = _Server((address, port), handler)
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def _resolve(self) -> None:
        """DNS: every name of AWS and the mirror's is the gateway's; there are no others."""
        while True:
            try:
                query, peer = self._dns.recvfrom(2048)
            except OSError:
                return
            at, labels = 12, []
            while query[at]:
                labels.append(query[at + 1 : at + 1 + query[at]].decode().lower())
                at += query[at] + 1
            name, kind = ".".join(labels), query[at + 1 : at + 3]
            known = name.endswith(".amazonaws.com") or name == MIRROR
            if known and name != MIRROR:
                self.names.add(name)
            address = known and kind == b"\0\1"
            flags = b"\x85\x80" if known else b"\x85\x83"
            counts = b"\0\1" + (b"\0\1" if address else b"\0\0") + b"\0\0\0\0"
            answer = b"\xc0\x0c\0\1\0\1\0\0\0\x05\0\4" + socket.inet_aton(GATEWAY)
            body = query[12 : at + 5] + (answer if address else b"")
            with contextlib.suppress(OSError):  # closed meanwhile
                self._dns.sendto(query[:2] + flags + counts + body, peer)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a killed client that hangs up; report every other error."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    vpc: Vpc
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def reply(self, status: int, body: bytes = b"", kind: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _Metadata(_Handler):
    def do_PUT(self) -> None:
        token = secrets.token_urlsafe(32)
        self.vpc.tokens.add(token)
        self.reply(200, token.encode())

    def do_GET(self) -> None:
        known = self.headers.get("X-aws-ec2-metadata-token") in self.vpc.tokens
        if not known and not self.headers.get("User-Agent", "").startswith(_WITHOUT_TOKEN):
            self.vpc.refused_metadata += 1
            return self.reply(401)
        _, _, path = self.path.lstrip("/").partition("/")
        tree = self.vpc.metadata()
        if path in tree:
            return self.reply(200, tree[path].encode(), "application/octet-stream")
        prefix = f"{path.rstrip('/')}/" if path else ""
        rest = [name[len(prefix) :] for name in tree if name.startswith(prefix)]
        names = sorted({f"{n.split('/')[0]}{'/' if '/' in n else ''}" for n in rest})
        return self.reply(200 if names else 404, "\n".join(names).encode())


class _Front(_Handler):
    """AWS by its real names, and the package mirror."""

    def do_GET(self) -> None:
        if self.headers["Host"] == MIRROR:
            file = self.vpc.repository / unquote(self.path).removeprefix("/./").lstrip("/")
            found = file.is_file()
            return self.reply(200 if found else 404, file.read_bytes() if found else b"")
        return self._aws()

    do_POST = do_PUT = do_HEAD = do_DELETE = lambda self: self._aws()

    def _aws(self) -> None:
        host = self.headers["Host"].split(":")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        for name, status in self.vpc.broken.items():
            if name in host:
                return self.reply(status, b"<Error><Code>Broken</Code></Error>", "text/xml")
        form = {name: values[0] for name, values in parse_qs(body.decode("latin-1")).items()}
        if action := form.get("Action"):
            auth = self.headers.get("Authorization", "")[:6]
            self.vpc.calls.append({**form, "at": time.time(), "auth": auth})
            if action in _RECORDED:
                answer = f"<{action}Response/>".encode()
                return self.reply(200, answer, "text/xml")
        target = self.headers.get("X-Amz-Target", "")
        if target.startswith("Logs_"):
            self.vpc.calls.append({"Action": target, **json.loads(body), "at": time.time()})
        return self._pass_on(host, body)

    def _pass_on(self, host: str, body: bytes) -> None:
        path = self.path
        if found := re.fullmatch(r"(.+)\.s3\..*", host):
            path = f"/{found[1]}{path}"
        # Under its own name the embedded AWS takes a bucket from the path.
        dropped = ("connection", "host")
        headers = {k: v for k, v in self.headers.items() if k.lower() not in dropped}
        request = urllib.request.Request(
            f"{self.vpc.aws}{path}", body or None, headers, method=self.command
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, content, kind = answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            status, content, kind = error.code, error.read(), error.headers
        except OSError as error:
            return self.reply(502, str(error).encode())
        return self.reply(status, content, kind.get("Content-Type", "text/plain"))


def _iso(hours: int) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


def make_certificates(directory: Path) -> None:
    """An authority that only these tests' instances trust, and a server's certificate."""

    def openssl(*arguments: str) -> None:
        command = ["openssl", *arguments]
        subprocess.run(command, cwd=directory, check=True, capture_output=True)

    names = ",".join(f"DNS:{name}" for name in _NAMES)
    (directory / "extensions").write_text(
        f"subjectAltName={names}\nextendedKeyUsage=serverAuth\n", encoding="utf-8"
    )
    openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
        *("-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=a test of worker-tier"),
        *("-addext", "basicConstraints=critical,CA:TRUE"),
        *("-addext", "keyUsage=critical,keyCertSign"),
    )
    openssl(
        *("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr"),
        *("-subj", "/CN=amazonaws.com"),
    )
    openssl(
        *("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key"),
        *("-CAcreateserial", "-days", "2", "-out", "server.pem", "-extfile", "extensions"),
    )

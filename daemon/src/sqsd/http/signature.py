"""Signs requests, so that an application on another machine can verify that the daemon sent them.

What is promised: whoever does not know a key cannot make a request that an application accepts,
and cannot change the method, the target, the content type, a header whose name begins with
`X-Aws-Sqsd-`, or the body of one that the daemon made, nor add or remove such a header. What is
not: a request is in plain HTTP and can be read, and a recorded one can be sent again until its
time is too old; docs/guide/signed-requests.md says what an application does about that.

The signed text is a sequence of netstrings (`<length in bytes>:<bytes>,`), so that no two requests
of the daemon have the same text: the version, the time, the method, the target, the content type,
name and value of each header in the order of names, and the body. Names are in lower case. The
daemon signs only names of letters, digits and `-`, each once, because web servers pass on others in
several forms; whoever verifies refuses a request in which the name of a signed header has another
character or is there twice.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final

from sqsd import contract
from sqsd.messages.gate import Probe
from sqsd.messages.outcome import Outcome
from sqsd.messages.ports import Application
from sqsd.messages.request import Request

#: Name of this form of the signed text, and of the signatures over it in the header.
VERSION: Final = "v1"
#: Start of the names of all signed headers, as `_signed_name` writes them.
_SIGNED: Final = b"x-aws-sqsd-"
_CONTENT_TYPE: Final = b"content-type"


class RequestSigner:
    """Adds a signature to the heads of requests.

    Args:
        keys: each adds a signature, so that a receiver needs to know any one of them.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)

    def signed(self, head: bytes, body: bytes, at: int) -> bytes:
        """Return the head with the header of the signature at its end.

        Args:
            head: request line and headers, with the empty line that ends them.
            at: time of the request, in whole seconds since 1970.
        """
        lines = head[:-4].split(b"\r\n")
        method, target, _ = lines[0].split(b" ", 2)
        headers = [_header(line) for line in lines[1:]]
        text = signed_text(method, target, headers, body, at)
        signatures = "".join(
            f",{VERSION}={hmac.digest(key, text, 'sha256').hex()}" for key in self._keys
        )
        return head[:-2] + f"{contract.HEADER_SIGNATURE}: t={at}{signatures}\r\n\r\n".encode()


class SigningApplication:
    """Implements `messages.ports.Application`: signs each POST to `application`.

    Args:
        now: returns the time in seconds since 1970, by a clock that receivers can trust.
    """

    def __init__(
        self, application: Application, signer: RequestSigner, now: Callable[[], float]
    ) -> None:
        self._application = application
        self._signer = signer
        self._now = now

    def post(self, request: Request, done: Callable[[Outcome], None]) -> None:
        head = self._signer.signed(request.head, request.body, int(self._now()))
        self._application.post(request._replace(head=head), done)

    def abort(self) -> None:
        self._application.abort()

    async def probe(self, how: Probe) -> bool:
        return await self._application.probe(how)


def signed_text(
    method: bytes, target: bytes, headers: Iterable[tuple[bytes, bytes]], body: bytes, at: int
) -> bytes:
    """Return the text that a signature is made of.

    Args:
        headers: names and values of the whole request; those that are not signed are left out.
    """
    content_type = b""
    signed = []
    for name, value in headers:
        if (canonical := _signed_name(name)) is None:
            continue
        if canonical == _CONTENT_TYPE:
            content_type = value
        else:
            signed.append((canonical, value))
    parts = [VERSION.encode(), b"%d" % at, method, target, content_type]
    for header in sorted(signed):
        parts += header
    parts.append(body)
    return b"".join([b"%d:%b," % (len(part), part) for part in parts])


def _header(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name, value.strip(b" \t")  # as every HTTP parser does


@lru_cache(maxsize=1024)
def _signed_name(name: bytes) -> bytes | None:
    """Return a header's name as it is signed, or None for a header that is not signed."""
    canonical = name.lower()
    if canonical == _CONTENT_TYPE or canonical.startswith(_SIGNED):
        return canonical
    return None

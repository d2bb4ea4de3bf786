"""Requests with the daemon's signature, for tests of an application that verifies it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from sqsd.contract import SqsdOptions
from sqsd.http.signature import RequestSigner
from sqsd.messages.message import Attribute, Message
from sqsd.messages.request import RequestBuilder


class SignedRequest(NamedTuple):
    """A request as an application receives it. Texts are in Latin-1, as WSGI has them."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes


def signed_request(
    *keys: str,
    body: str = "work",
    options: SqsdOptions | None = None,
    attributes: Mapping[str, str] | None = None,
    at: float | None = None,
) -> SignedRequest:
    """Return the request that the daemon makes of a message, with a signature by each key.

    Args:
        keys: lines of a `signing_key_file`.
        body: of the message.
        options: of the daemon. Default: those of `SqsdOptions()`.
        attributes: message attributes of type String.
        at: time of the request in seconds since 1970. Default: now.
    """
    now = time.time() if at is None else at
    message = Message(
        message_id="00000000-0000-4000-8000-000000000001",
        receipt_handle="handle",
        body=body.encode(),
        receive_count=1,
        sender_id="AIDAEXAMPLE",
        sent_at=int(now * 1_000),
        first_received_at=int(now * 1_000),
        received_at=0.0,
        attributes={n: Attribute("String", v) for n, v in (attributes or {}).items()},
    )
    chosen = SqsdOptions() if options is None else options
    if chosen.signing_key_file is None:  # it is not read here, but names of headers depend on it
        chosen = replace(chosen, signing_key_file="/etc/worker-tier/signing-key")
    request = RequestBuilder(chosen, "work").build(message)
    signer = RequestSigner([key.encode() for key in keys])
    head = signer.signed(request.head, request.body, int(now)).decode("latin-1")
    start, *lines = head[:-4].split("\r\n")
    method, target, _ = start.split(" ", 2)
    headers = [
        (name, value.strip(" \t")) for name, _, value in (line.partition(":") for line in lines)
    ]
    return SignedRequest(method, target, headers, request.body)

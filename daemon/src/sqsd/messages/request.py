"""The HTTP request that a message becomes: Elastic Beanstalk's, to the byte where HTTP allows it.

Two things differ from EB, because its form allows whoever may send to the queue to forge requests:
a value with control characters is percent-encoded (and its header named in `X-Aws-Sqsd-Encoded`),
and so are blanks and control characters in a task's path. docs/explain/compatibility.md has the
list.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Final, NamedTuple

from sqsd import contract
from sqsd.base.shortened import shortened
from sqsd.contract import Occurrence, SqsdOptions
from sqsd.messages.extra_headers import Extras
from sqsd.messages.message import Attribute, Message
from sqsd.messages.sns import unwrap

#: Characters not allowed in a header value: controls except tab, and those without a UTF-8 form.
_UNSENDABLE: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
#: Characters not allowed in a request target: blanks would end it, others confuse servers.
_NOT_IN_TARGET: Final = re.compile("[^!-~]")
_ISO: Final = "%Y-%m-%dT%H:%M:%SZ"
_YEARS: Final = range(1970, 9000)
#: Last second of the year 9999, the last one that a `datetime` can hold, in seconds since 1970.
_LAST_SECOND: Final = 253_402_300_799
#: Characters not allowed in a header name.
_NOT_IN_NAME: Final = re.compile("[^A-Za-z0-9_.-]")
#: Characters not allowed in a header name of a signed request.
_NOT_SIGNED: Final = re.compile("[^A-Za-z0-9-]")
#: Longest name of an attribute that becomes a header, and longest part of a name or type that is
#: logged, in characters; SQS's own limit on names, which those of an SNS envelope may exceed.
_LONGEST_NAME: Final = 256
#: Most attributes of one message that are logged as skipped; the rest is a number.
_MOST_SKIPS: Final = 10
#: Attributes of the daemon's own that become headers. They come first where there is a limit.
_RESERVED: Final = (
    contract.ATTRIBUTE_SCHEDULED_TIME,
    contract.ATTRIBUTE_PATH,
    contract.ATTRIBUTE_TASK_NAME,
)
# Ends of one header line with the start of the next: they are the same for every message.
_RECEIVE_COUNT: Final = f"\r\n{contract.HEADER_RECEIVE_COUNT}: "
_FIRST_RECEIVED_AT: Final = f"\r\n{contract.HEADER_FIRST_RECEIVED_AT}: "
_SENT_AT: Final = f"Z\r\n{contract.HEADER_SENT_AT}: "
_SENDER_ID: Final = f"\r\n{contract.HEADER_SENDER_ID}: "


class Request(NamedTuple):
    """What is sent to the application, and what was noticed while it was made.

    `task_name` and `scheduled_at` are set for scheduled messages; the latter is None if its
    attribute is not a time. `skipped` has a sentence for each attribute that became no header.
    """

    head: bytes
    body: bytes
    path: str
    task_name: str | None
    scheduled_at: datetime | None
    skipped: tuple[str, ...]


class RequestBuilder:
    """Makes the requests for the messages of one queue.

    Args:
        extras: makes the headers that EB does not send, or None if none are wanted.
    """

    def __init__(self, options: SqsdOptions, queue_name: str, extras: Extras | None = None) -> None:
        self.extras = extras
        self._attribute_bytes = options.attribute_header_bytes
        # A signature covers names as every web server passes them on; docs/signed-requests.md.
        self._header_name = header_name if options.signing_key_file is None else signed_header_name
        self._http_path = options.http_path
        self._on_dead_letter_path = options.on_dead_letter_path
        self._via_sns = options.via_sns
        self._first = (
            f"Content-Type: {options.mime_type}\r\n"
            f"User-Agent: {options.user_agent}\r\n"
            f"{contract.HEADER_MESSAGE_ID}: "
        )
        self._queue = f"Z\r\n{contract.HEADER_QUEUE}: {queue_name}\r\n{contract.HEADER_PATH}: "
        self._last = (
            f"Host: {options.host}\r\nAccept-Encoding: {contract.ACCEPT_ENCODING}\r\n"
            "Content-Length: "
        )

    def build(self, message: Message, at: float = 0.0, hidden_until: float = 0.0) -> Request:
        """Return the request for a message. Never raises because of what a message contains.

        Args:
            at: seconds since 1970 at this moment. Only extras need it.
            hidden_until: seconds since 1970 at which the message's visibility ends. Only extras
                need it.
        """
        if self._via_sns:
            message = unwrap(message)
        attributes, sender = message.attributes, message.sender_id
        if not attributes and self.extras is None and _UNSENDABLE.search(sender) is None:
            path, body = self._http_path, message.body
            head = self._head(message, path, path, sender, "", len(body))
            return Request(head, body, path, None, None, ())
        return self._with_attributes(message, at, hidden_until)

    def build_dead_letter(
        self, message: Message, reason: str, at: float, hidden_until: float
    ) -> Request:
        """Return the request on `on_dead_letter_path`: body and headers as before, and the reason.

        Args:
            at: seconds since 1970 at this moment.
            hidden_until: seconds since 1970 at which the message's visibility ends.
        """
        if self._via_sns:
            message = unwrap(message)
        return self._with_attributes(message, at, hidden_until, reason)

    def _with_attributes(
        self, message: Message, at: float, hidden_until: float, reason: str | None = None
    ) -> Request:
        """Return the request for a message with all of its headers.

        Args:
            reason: why the message becomes a dead letter, for `on_dead_letter_path`; or None.
        """
        sender = message.sender_id
        headers = _AttributeHeaders(message, self._attribute_bytes, self._header_name)
        sender = headers.value(contract.HEADER_SENDER_ID, sender)
        if self.extras is not None:
            headers.extras = partial(self.extras.lines, message, at=at, hidden_until=hidden_until)
        scheduled_time = headers.reserved(contract.ATTRIBUTE_SCHEDULED_TIME)
        named_path = headers.reserved(contract.ATTRIBUTE_PATH)
        target = path = shown = self._http_path
        body, task_name, scheduled_at = message.body, None, None
        if scheduled_time is not None:
            path = path if named_path is None else named_path
            target, body = _target(path), b""
            task_name, scheduled_at = self._scheduled(headers, message, scheduled_time)
        if named_path is not None:
            shown = headers.value(contract.HEADER_PATH, named_path)
        if reason is not None:
            assert self._on_dead_letter_path is not None
            target = path = self._on_dead_letter_path
            headers.add_dead_letter_reason(reason)
        lines = headers.render()
        head = self._head(message, target, shown, sender, lines, len(body))
        return Request(head, body, path, task_name, scheduled_at, headers.skipped)

    def _scheduled(
        self, headers: _AttributeHeaders, message: Message, scheduled_time: str
    ) -> tuple[str, datetime | None]:
        """Add the headers of a periodic task. Returns its name, and its time or None if unclear."""
        name = headers.reserved(contract.ATTRIBUTE_TASK_NAME) or ""
        at = _moment(scheduled_time)
        shown_at = scheduled_time if at is None else at.strftime(_ISO)
        headers.scheduled = (
            f"{contract.HEADER_SCHEDULED_AT}:"
            f" {headers.value(contract.HEADER_SCHEDULED_AT, shown_at)}\r\n"
            f"{contract.HEADER_TASK_NAME}:"
            f" {headers.value(contract.HEADER_TASK_NAME, name)}\r\n"
        )
        return _text(message, contract.ATTRIBUTE_TASK_NAME) or "", at

    def _head(
        self, message: Message, target: str, path: str, sender: str, extra: str, length: int
    ) -> bytes:
        return (
            f"POST {target} HTTP/1.1\r\n{self._first}{message.message_id}"
            f"{_RECEIVE_COUNT}{message.receive_count}"
            f"{_FIRST_RECEIVED_AT}{_seconds(message.first_received_at)}"
            f"{_SENT_AT}{_seconds(message.sent_at)}"
            f"{self._queue}{path}{_SENDER_ID}{sender}\r\n"
            f"{extra}{self._last}{length}\r\n\r\n"
        ).encode()


class _AttributeHeaders:
    """Collects `X-Aws-Sqsd-Attr-*` lines, with the encoded and the skipped attributes.

    Args:
        limit_bytes: most bytes of names and values of all headers that are made of attributes,
            before they are encoded. A sender decides on their size, and encoding takes time.
        header_name: returns the header for an attribute's name.
    """

    def __init__(
        self, message: Message, limit_bytes: int, header_name: Callable[[str], str]
    ) -> None:
        self._header_name = header_name
        self._skipped: list[str] = []
        self._skips = 0
        self.scheduled = ""
        self.extras: Callable[[], list[tuple[str, str]]] | None = None
        self._limit_bytes = limit_bytes
        self._left_bytes = limit_bytes
        self._encoded: dict[str, None] = {}  # an insertion-ordered set
        self._lines: dict[str, str] = {}
        self._reserved: dict[str, str] = {}
        attributes = message.attributes
        for name in _RESERVED:
            if name in attributes:
                self._reserve(name, attributes[name].value)
        for name, attribute in attributes.items():
            if not name.startswith(contract.RESERVED_ATTRIBUTE_PREFIX):
                self._add(name, attribute)

    def reserved(self, name: str) -> str | None:
        """Return the value of an attribute of the daemon's own, cut to the limit, or None."""
        return self._reserved.get(name)

    def _reserve(self, name: str, value: str | None) -> None:
        if value is None:
            return
        needed = _utf8_bytes(value)
        if needed > self._left_bytes:
            # A character has four bytes at most.
            value = value[: self._left_bytes if value.isascii() else self._left_bytes // 4]
            self._skip(name, f"cut to {len(value)} characters: {self._over_the_limit()}")
        self._left_bytes = max(0, self._left_bytes - needed)
        self._reserved[name] = value

    def _add(self, name: str, attribute: Attribute) -> None:
        value = attribute.value
        if value is None or not attribute.data_type.startswith(("String", "Number")):
            kind = shortened(attribute.data_type, _LONGEST_NAME)
            self._skip(name, f"omitted from HTTP header: unsupported data type {kind}")
            return
        if len(name) > _LONGEST_NAME:
            self._skip(name, f"omitted from HTTP header: longer than {_LONGEST_NAME} characters")
            return
        needed = _utf8_bytes(name) + _utf8_bytes(value)
        if needed > self._left_bytes:
            self._skip(name, f"omitted from HTTP header: {self._over_the_limit()}")
            return
        self._left_bytes -= needed
        header = self._header_name(name)
        if header in self._lines:  # the last one wins, as in EB, and that is logged
            self._skip(
                name, f"replaces another in HTTP header {header}, which is the same for both"
            )
        self._lines[header] = self.value(header, value)

    def _skip(self, name: str, what: str) -> None:
        """Note what became of an attribute; of thousands, only the first ones."""
        self._skips += 1
        if self._skips <= _MOST_SKIPS:
            self._skipped.append(f"Message attribute {shortened(name, _LONGEST_NAME)} {what}")

    @property
    def skipped(self) -> tuple[str, ...]:
        """A sentence for each attribute that became no header, ten at most, and their number."""
        more = self._skips - len(self._skipped)
        return (*self._skipped, f"{more} more message attributes") if more else tuple(self._skipped)

    def _over_the_limit(self) -> str:
        return f"attributes exceed attribute_header_bytes ({self._limit_bytes})"

    def value(self, name: str, value: str) -> str:
        """Return a value as its header can carry it; remember the header if it is encoded."""
        if _UNSENDABLE.search(value) is None:
            self._encoded.pop(name, None)  # of an attribute that this one replaces
            return value
        self._encoded[name] = None
        return _percent_encode(value)

    def add_dead_letter_reason(self, reason: str) -> None:
        """Add why the message becomes a dead letter, after the lines of a periodic task."""
        value = self.value(contract.HEADER_DEAD_LETTER_REASON, reason)
        self.scheduled += f"{contract.HEADER_DEAD_LETTER_REASON}: {value}\r\n"

    def render(self) -> str:
        """Return all lines that come before EB's last ones."""
        more = "".join(
            f"{name}: {self.value(name, value)}\r\n"
            for name, value in (self.extras() if self.extras else ())
        )
        lines = "".join(f"{name}: {value}\r\n" for name, value in self._lines.items())
        if self._encoded:
            lines += f"{contract.HEADER_ENCODED}: {', '.join(self._encoded)}\r\n"
        return lines + self.scheduled + more


def occurrence_of(message: Message) -> Occurrence | None:
    """Return the occurrence that a message was sent for, or None if no scheduler sent it.

    Only a scheduler of this project gives a message a nonce. Other messages with a scheduled time,
    such as those of Elastic Beanstalk's daemon, become the same request but are no occurrence.
    """
    nonce = _text(message, contract.ATTRIBUTE_NONCE)
    if nonce is None or not contract.is_nonce(nonce):
        return None
    task = _text(message, contract.ATTRIBUTE_TASK_NAME) or ""
    if not 1 <= len(task) <= contract.TASK_NAME_MAX_LETTERS:
        return None
    at = _moment(_text(message, contract.ATTRIBUTE_SCHEDULED_TIME) or "")
    return None if at is None else Occurrence(task, at, nonce)


@lru_cache(maxsize=256)
def header_name(attribute_name: str) -> str:
    """Return the header for an attribute: `X-Aws-Sqsd-Attr-Traceid` for `traceId`, as in EB.

    Each part between hyphens is in title case. SQS refuses names with other characters than
    letters, digits, `_`, `-` and `.`. If one arrives, they are percent-encoded, so that the name
    cannot end the header.
    """
    name = _NOT_IN_NAME.sub(lambda found: _encode_letter(found[0]), attribute_name)
    parts = (contract.HEADER_ATTRIBUTE_PREFIX + name).lower().split("-")
    return "-".join(part[:1].upper() + part[1:] for part in parts)


@lru_cache(maxsize=256)
def signed_header_name(attribute_name: str) -> str:
    """Return the header for an attribute of a signed request: letters, digits and `-` only.

    Web servers pass on `_` and `.` as `-`, as they are, or not at all. With them in a signed name,
    a verifier could not know which attribute the daemon has sent.
    """
    parts = _NOT_SIGNED.sub("-", header_name(attribute_name)).split("-")
    return "-".join(part[:1].upper() + part[1:] for part in parts)


@lru_cache(maxsize=1024)
def _seconds_text(seconds: int) -> str:
    if not 0 <= seconds <= _LAST_SECOND:
        seconds = 0
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _seconds(milliseconds: int | None) -> str:
    """Return UTC in whole seconds, rounded down.

    Returns the epoch for None, as in EB, and for a time before 1970 or after the year 9999.
    """
    return _seconds_text((milliseconds or 0) // 1000)


def _moment(scheduled_time: str) -> datetime | None:
    """Return the time in `2023-01-15 07:42:00 UTC`, or in any ISO 8601 text.

    Returns None for any other text, and for years in which sums with it may leave the calendar.
    """
    try:
        at = datetime.strptime(scheduled_time, contract.SCHEDULED_TIME_FORMAT)  # noqa: DTZ007
    except ValueError:
        try:
            at = datetime.fromisoformat(scheduled_time)
        except ValueError:
            return None
    if at.year not in _YEARS:
        return None
    return at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)


def _target(path: str) -> str:
    if _NOT_IN_TARGET.search(path) is not None:
        path = path.encode("utf-8", "surrogatepass").decode("latin-1").translate(_TARGET_TABLE)
    return path if path.startswith("/") else "/" + path


def _percent_encode(value: str) -> str:
    """Encode the characters not allowed, and `%` itself, so that decoding restores the value."""
    return value.translate(_VALUE_TABLE)


def _encode_letter(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode("utf-8", "surrogatepass"))


def _utf8_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _text(message: Message, name: str) -> str | None:
    attribute = message.attributes.get(name)
    return None if attribute is None else attribute.value


#: Percent-encoded form of each character not allowed in a header value, and of `%`.
_VALUE_TABLE: Final = {
    code: _encode_letter(chr(code))
    for code in (*range(9), *range(10, 32), 0x25, 0x7F, *range(0xD800, 0xE000))
}
#: Percent-encoded form of each byte not allowed in a request target.
_TARGET_TABLE: Final = {
    byte: f"%{byte:02X}" for byte in range(256) if not ord("!") <= byte <= ord("~")
}

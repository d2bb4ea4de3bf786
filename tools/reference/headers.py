"""docs/reference/headers.md, from the descriptions in sqsd/contract/wire.py and real requests."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sqsd import contract
from sqsd.contract import SqsdOptions
from sqsd.messages.message import Attribute, Message
from sqsd.messages.request import RequestBuilder
from tools.reference.constants import ROOT, Constant, described_constants, need_descriptions

HEADERS_PAGE: Final = ROOT / "docs" / "reference" / "headers.md"
_MODULE: Final = "sqsd.contract.wire"
_PREFIX: Final = "HEADER_"
#: 2026-01-01T00:00:00Z, milliseconds since 1970.
_NEW_YEAR_MS: Final = 1_767_225_600_000
_ORDINARY: Final = MappingProxyType({"tenant": Attribute("String", "acme")})
_TASK: Final = MappingProxyType(
    {
        contract.ATTRIBUTE_PATH: Attribute("String", "/scheduled/report"),
        contract.ATTRIBUTE_TASK_NAME: Attribute("String", "nightly-report"),
        contract.ATTRIBUTE_SCHEDULED_TIME: Attribute("String", "2026-01-01 00:00:00 UTC"),
    }
)
_INTRODUCTION: Final = """# Headers

What an application is sent with each message. Names, order and formats are Elastic Beanstalk's;
what is ours says so. (Generated from `sqsd/contract/wire.py` by `make reference`; the requests are
made by the daemon's own code.)

## Of a message
"""


def headers_page() -> str:
    """Return the page.

    Raises:
        Undescribed: a header has no description.
    """
    need_descriptions(_MODULE, _PREFIX)
    headers = [one for one in described_constants(_MODULE) if one.name.startswith(_PREFIX)]
    always = [one for one in headers if one.value not in contract.EXTRA_HEADERS]
    extra = [one for one in headers if one.value in contract.EXTRA_HEADERS]
    return "\n".join(
        (
            _INTRODUCTION,
            _request(b'{"order": 1}', _ORDINARY),
            _table(always),
            "## Of a periodic task\n",
            "The body is empty, and the path is the task's `url`.\n",
            _request(contract.CRON_BODY.encode(), _TASK),
            "## Sent on request\n",
            "The option `extra_headers` names those to send. None is sent by default, so that a"
            "\nrequest is Elastic Beanstalk's to the byte.\n",
            _table(extra),
        )
    )


def _request(body: bytes, attributes: Mapping[str, Attribute]) -> str:
    request = RequestBuilder(SqsdOptions(), "work").build(
        Message(
            message_id="0f8a4d1c-7c0e-4d8b-9c55-0c2a53a4a6f1",
            receipt_handle="",
            body=body,
            receive_count=1,
            sender_id="AIDAEXAMPLE",
            sent_at=_NEW_YEAR_MS,
            first_received_at=_NEW_YEAR_MS,
            received_at=0.0,
            attributes=attributes,
        )
    )
    text = (request.head + request.body).decode().replace("\r\n", "\n").rstrip()
    return f"```http\n{text}\n```\n"


def _table(headers: list[Constant]) -> str:
    rows = "\n".join(
        f"| `{one.value}{'NAME' if one.value.endswith('-') else ''}` | {one.description} |"
        for one in headers
    )
    return f"| header | value |\n|---|---|\n{rows}\n"

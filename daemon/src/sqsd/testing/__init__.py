"""Fakes of what a daemon talks to, for tests of your own code; docs/guide/testing.md has examples.

`FakeTier` runs the daemon's dispatcher between a queue and an application in memory.
`sqsd.testing.endpoint.SqsEndpoint` serves a queue over HTTP; it needs the extra `testing`. Nothing
here depends on a test runner.
"""

from sqsd.testing.application import FakeApplication
from sqsd.testing.clock import FakeClock, VirtualClock
from sqsd.testing.log import RecordingLog
from sqsd.testing.queue import FakeSqs
from sqsd.testing.signing import SignedRequest, signed_request
from sqsd.testing.table import FakeDynamoDb
from sqsd.testing.tier import FakeTier, NotIdle

__all__ = [
    "FakeApplication",
    "FakeClock",
    "FakeDynamoDb",
    "FakeSqs",
    "FakeTier",
    "NotIdle",
    "RecordingLog",
    "SignedRequest",
    "VirtualClock",
    "signed_request",
]

"""Fakes that keep SQS's visibility clock and DynamoDB's conditions, for tests of your own code."""

from sqsd.testing.application import FakeApplication
from sqsd.testing.clock import FakeClock, VirtualClock
from sqsd.testing.log import RecordingLog
from sqsd.testing.queue import FakeSqs
from sqsd.testing.table import FakeDynamoDb
from sqsd.testing.tier import FakeTier

__all__ = [
    "FakeApplication",
    "FakeClock",
    "FakeDynamoDb",
    "FakeSqs",
    "FakeTier",
    "RecordingLog",
    "VirtualClock",
]

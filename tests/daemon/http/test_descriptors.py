"""A process without file descriptors: idle connections give way, and the log says so once."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sqsd.base.descriptors import BESIDE_CONNECTIONS, Descriptors, usable_connections
from sqsd.contract import SqsdOptions, events
from sqsd.http.application import LocalApplication
from sqsd.messages.gate import Probe
from sqsd.messages.outcome import Answered, Outcome, Unreachable
from sqsd.testing.clock import FakeClock
from sqsd.testing.log import RecordingLog
from tests.daemon.http.posters import request
from tests.fakes.scripted_application import ScriptedApplication


@contextmanager
def none_left() -> Iterator[None]:
    """Take every descriptor that the process may still open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, hard), hard))
    try:
        try:
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def post(application: LocalApplication) -> Outcome:
    result: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    application.post(request(), result.set_result)
    return await result


def application_on(port: int, descriptors: Descriptors | None) -> LocalApplication:
    options = SqsdOptions(http_port=port, http_host="127.0.0.1")
    return LocalApplication(options, descriptors=descriptors)


async def test_idle_connections_give_way_to_a_probe_and_to_posts() -> None:
    log = RecordingLog()
    descriptors = Descriptors(FakeClock(), log)
    async with ScriptedApplication() as server:
        application = application_on(server.port, descriptors)
        await asyncio.gather(*(post(application) for _ in range(5)))
        with none_left():
            assert await application.probe(Probe.PORT)
            assert await application.probe(Probe.PORT)
            assert await post(application) == Answered(200)
        (logged,) = log.of(events.DESCRIPTORS_SHORT)
        assert (logged["limit"], logged["times"]) == (512, 1)
        assert "http_connections" in logged["reason"]
        application.close()
        descriptors.close()


async def test_what_is_missing_is_named_when_nothing_can_be_freed() -> None:
    async with ScriptedApplication() as server:
        application = application_on(server.port, None)
        with none_left():
            assert await post(application) is Unreachable.NO_DESCRIPTOR
        application.close()


@pytest.mark.parametrize("error", [errno.ECONNREFUSED, errno.EACCES, errno.EHOSTUNREACH])
async def test_no_other_failure_frees_anything(error: int) -> None:
    log = RecordingLog()
    descriptors = Descriptors(FakeClock(), log)
    closed: list[None] = []
    descriptors.when_short(lambda: closed.append(None))
    calls: list[None] = []

    async def connect() -> None:
        calls.append(None)
        raise OSError(error, os.strerror(error))

    with pytest.raises(OSError, match=os.strerror(error)):
        await descriptors.connected(connect)
    assert (len(calls), closed, log.events) == (1, [], [])
    descriptors.close()


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE])
async def test_a_shortage_that_lasts_is_logged_once_a_minute(error: int) -> None:
    log = RecordingLog()
    clock = FakeClock()
    descriptors = Descriptors(clock, log)

    async def connect() -> None:
        raise OSError(error, os.strerror(error))

    for _ in range(50):
        with pytest.raises(OSError, match="files"):
            await descriptors.connected(connect)
    clock.advance(60)
    with pytest.raises(OSError, match="files"):
        await descriptors.connected(connect)
    assert [values["times"] for values in log.of(events.DESCRIPTORS_SHORT)] == [1, 50]
    descriptors.close()


@pytest.mark.parametrize(
    ("soft", "hard", "needed", "after", "logged"),
    [
        (1_024, 4_096, 100, 1_024, False),
        (64, 4_096, 50 + BESIDE_CONNECTIONS, 50 + BESIDE_CONNECTIONS, False),
        (64, 64, 50 + BESIDE_CONNECTIONS, 64, True),
        (64, 100, 50 + BESIDE_CONNECTIONS, 100, True),
        (64, resource.RLIM_INFINITY, 200, 200, False),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 200, resource.RLIM_INFINITY, False),
    ],
)
async def test_the_limit_is_raised_at_start_and_logged_if_it_stays_too_low(
    soft: int, hard: int, needed: int, after: int, logged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda which: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda which, to: limits.append(to))
    log = RecordingLog()
    descriptors = Descriptors(FakeClock(), log)
    descriptors.check(needed - BESIDE_CONNECTIONS)
    assert limits[-1][0] == after
    found = log.of(events.DESCRIPTORS_SHORT)
    assert [values["needed"] for values in found] == ([needed] if logged else [])
    assert all(values["http_connections"] == max(1, min(50, after - 48)) for values in found)
    descriptors.close()


@pytest.mark.parametrize(
    ("limit", "fewest", "usable"),
    [(1_024, 1, 100), (148, 1, 100), (147, 1, 99), (64, 1, 16), (49, 1, 1), (20, 1, 1), (20, 3, 3)],
)
def test_no_more_requests_run_than_there_are_descriptors_for(
    limit: int, fewest: int, usable: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limit, limit))
    assert usable_connections(100, fewest=fewest) == usable

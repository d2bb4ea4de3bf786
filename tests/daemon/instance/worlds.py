"""A daemon on an instance of an Auto Scaling group, in memory and in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from sqsd.aws.sqs import SqsQueue
from sqsd.base.errors import AwsError, InstanceUnknown
from sqsd.contract import SqsdOptions
from sqsd.instance.notices import InstanceIdentity, InstanceNotices
from sqsd.instance.scale_in_protection import ScaleInProtection
from sqsd.instance.watcher import InstanceWatcher
from sqsd.messages.connections import ConnectionPool
from sqsd.messages.delivery import ApplicationDelivery
from sqsd.messages.dispatcher import Dispatcher
from sqsd.messages.dispatching import oldest_request
from sqsd.messages.request import RequestBuilder
from sqsd.messages.runtime import Runtime
from sqsd.supervisor import Supervisor
from sqsd.testing.application import FakeApplication
from sqsd.testing.clock import VirtualClock
from sqsd.testing.log import RecordingLog
from sqsd.testing.queue import FakeSqs


class Instance:
    """`InstanceSource` in memory; `notices_now` is None if there is no metadata service."""

    def __init__(self, notices: InstanceNotices | None) -> None:
        self.notices_now = notices
        self.group: str | None = "tagged-group"
        self.polls = 0

    async def notices(self, *, timeout: float) -> InstanceNotices:
        self.polls += 1
        if self.notices_now is None:
            await asyncio.sleep(timeout)
            raise InstanceUnknown("no answer")
        return self.notices_now

    async def identity(self) -> InstanceIdentity:
        return InstanceIdentity("i-1", self.group)


class Hook:
    """`TerminationHook` in memory; refuses the next calls as often as `refusals` says."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.group = "tagged-group"
        self.refusals = 0
        self.heartbeats: list[float] = []
        self.completed: list[float] = []

    async def heartbeat(self, group: str, instance_id: str) -> None:
        self._refuse("RecordLifecycleActionHeartbeat")
        assert (group, instance_id) == (self.group, "i-1")
        self.heartbeats.append(self._clock.monotonic())

    async def complete(self, group: str, instance_id: str) -> None:
        self._refuse("CompleteLifecycleAction")
        assert (group, instance_id) == (self.group, "i-1")
        self.completed.append(self._clock.monotonic())

    def _refuse(self, action: str) -> None:
        if self.refusals > 0:
            self.refusals -= 1
            raise AwsError(action, "Throttling", "slow down", 400)


class Protections:
    """`ProtectionApi` in memory; refuses the next calls as often as `refusals` says."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.refusals = 0
        #: Values that are refused until they are removed, and the refusal.
        self.refused: set[bool] = set()
        self.refusal = AwsError("SetInstanceProtection", "Throttling", "slow down", 400)
        #: Every call that was taken or refused: when, and what was to be set.
        self.calls: list[tuple[float, bool]] = []
        self.hangs = False
        self._protected: bool | None = None

    def now(self) -> bool | None:
        """What Auto Scaling has, or None if nothing was set."""
        return self._protected

    async def protect(self, group: str, instance_id: str, *, protected: bool) -> None:
        assert (group, instance_id) == ("tagged-group", "i-1")
        self.calls.append((self._clock.monotonic(), protected))
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        if protected in self.refused:
            raise self.refusal
        if self.refusals > 0:
            self.refusals -= 1
            raise self.refusal
        self._protected = protected

    def removed_from_outside(self) -> None:
        """Another program takes the protection away."""
        self._protected = False


class World:
    """One daemon on one instance."""

    def __init__(
        self, notices: InstanceNotices | None, *, rebalance: bool = False, group: str | None = None
    ) -> None:
        self.clock = VirtualClock()
        self.sqs = FakeSqs(self.clock)
        self.application = FakeApplication()
        self.instance = Instance(notices)
        self.hook = Hook(self.clock)
        self.protections = Protections(self.clock)
        self.log = RecordingLog()
        self.systemd: list[str] = []
        options = SqsdOptions(http_connections=10)
        api: Any = self.sqs
        runtime = Runtime(self.clock, self.log, lambda: 0.5)
        self.dispatcher = Dispatcher(
            options=options,
            queue=SqsQueue(
                self.sqs.url,
                polls=api,
                control=api,
                clock=self.clock,
                log=self.log,
                visibility_timeout=options.visibility_timeout,
            ),
            delivery=ApplicationDelivery(
                options, RequestBuilder(options, "work"), self.application, runtime
            ),
            connections=ConnectionPool(options.http_connections, self.application, runtime),
            runtime=runtime,
        )
        self.dispatcher.pause()
        self.supervisor = Supervisor(
            dispatcher=self.dispatcher,
            scheduler=None,
            clock=self.clock,
            log=self.log,
            notify=self.systemd.append,
            watchdog_seconds=30.0,
            companions=[
                InstanceWatcher(
                    source=self.instance,
                    hook=self.hook,
                    auto_scaling_group=group,
                    clock=self.clock,
                    log=self.log,
                    drain_on_rebalance=rebalance,
                ),
                ScaleInProtection(
                    source=self.instance,
                    api=self.protections,
                    auto_scaling_group=group,
                    oldest_request=lambda: oldest_request(self.dispatcher),
                    is_paused=lambda: self.dispatcher.paused,
                    clock=self.clock,
                    log=self.log,
                ),
            ],
        )
        self.task: asyncio.Task[int]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[World]:
        self.task = asyncio.create_task(self.supervisor.run())
        try:
            yield self
        finally:
            if not self.task.done():
                self.supervisor.stop("SIGTERM")
                self.supervisor.stop("SIGTERM")
            await self.task

    def receives(self) -> int:
        return len(self.sqs.called("ReceiveMessage"))

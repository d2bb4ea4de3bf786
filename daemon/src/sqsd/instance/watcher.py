"""Follows the instance's own notices: holds, drains, and tells Auto Scaling when that is done.

The daemon starts held until the first look, so that an instance in a warm pool never receives; the
look costs milliseconds where there is a metadata service, and at most `FIRST_LOOK_SECONDS` where
there is none. A machine without one is not watched, silently.

After a drain for a machine that goes away the process stays, idle, until it is told to stop: a
service manager that restarts what ends would else start it again on the dying machine. Should the
notice be withdrawn, as after a hibernation, the process ends to be started afresh.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from sqsd.base.errors import InstanceUnknown, SqsdError
from sqsd.base.ports import Clock, EventLog
from sqsd.base.waits import first_of
from sqsd.contract import events
from sqsd.instance.notices import Course, Hold, Identity, Leave, Notices, Receive, decide

#: AWS's advice for Spot notices.
LOOK_SECONDS: Final = 5.0
FIRST_LOOK_SECONDS: Final = 0.5
_DEADLINE_SECONDS: Final = 2.0
#: Looks in vain after which a machine counts as one without a metadata service.
_LOOKS_IN_VAIN: Final = 3
#: Seconds between heartbeats of the hook; its timeout is 30 s at the least.
HEARTBEAT_SECONDS: Final = 20.0
_COMPLETE_TRIES: Final = 6
_NO_GROUP: Final = (
    "lifecycle_hook is set, but the group is not known: set auto_scaling_group, or have the launch"
    " template show instance tags in metadata (InstanceMetadataTags: enabled). The hook ends by its"
    " own timeout"
)


class InstanceSource(Protocol):
    """The instance's metadata: `instance.imds.Imds`."""

    async def notices(self, *, timeout: float) -> Notices:
        """What it says now.

        Raises:
            InstanceUnknown: there is no answer within `timeout` seconds.
        """

    async def identity(self) -> Identity:
        """Which instance this is; raises `InstanceUnknown`."""


class TerminationHook(Protocol):
    """The group's hook on termination: `instance.termination_hook.LifecycleHook`."""

    async def heartbeat(self, group: str, instance_id: str) -> None:
        """Ask for more time; raises `SqsdError`."""

    async def complete(self, group: str, instance_id: str) -> None:
        """Let the instance go; raises `SqsdError`."""


class Daemon(Protocol):
    """What is steered: `supervisor.Supervisor`."""

    #: Set once nothing is in flight any more.
    drained: asyncio.Event

    def hold(self, reason: str) -> None:
        """Receive nothing until `resume`."""

    def resume(self) -> None:
        """Receive again."""

    def leave(self, reason: str) -> None:
        """Drain, and then wait for a signal, or for `end`."""

    def left(self) -> None:
        """Nothing more is to be said to Auto Scaling."""

    def end(self) -> None:
        """End the process; it may be started afresh."""


class Lifecycle:
    """Watches one instance. Construct with the dispatcher held.

    Args:
        hook: None where the settings name none; then nothing is told to Auto Scaling.
        auto_scaling_group: None: as the instance's own tag says.
    """

    name = "lifecycle"

    def __init__(
        self,
        *,
        source: InstanceSource,
        hook: TerminationHook | None,
        auto_scaling_group: str | None,
        clock: Clock,
        log: EventLog,
        drain_on_rebalance: bool,
    ) -> None:
        self._source, self._hook, self._clock, self._log = source, hook, clock, log
        self._group = auto_scaling_group
        self._drain_on_rebalance = drain_on_rebalance
        self._seen = False
        self._course: Course | None = None

    async def run(self, daemon: Daemon) -> None:
        """Until cancelled, or until it is plain that there is no metadata service."""
        try:
            await self._watch(daemon)
        except Exception:
            daemon.resume()  # a defect of the watch must not hold messages back for ever
            raise

    async def _watch(self, daemon: Daemon) -> None:
        in_vain = 0
        timeout = FIRST_LOOK_SECONDS
        while True:
            course = await self._look(timeout)
            if course is not None:
                in_vain = 0
                await self._follow(course, daemon)
            else:
                in_vain += 1
                if self._course is None:
                    self._course = Receive()
                    daemon.resume()
                if not self._seen and in_vain >= _LOOKS_IN_VAIN:
                    return
            timeout = _DEADLINE_SECONDS
            await self._clock.sleep(LOOK_SECONDS)

    async def _look(self, timeout: float) -> Course | None:
        try:
            notices = await self._source.notices(timeout=timeout)
        except InstanceUnknown:
            return None
        self._seen = True
        return decide(notices, drain_on_rebalance=self._drain_on_rebalance)

    async def _follow(self, course: Course, daemon: Daemon) -> None:
        before, self._course = self._course, course
        if isinstance(before, Leave):
            if isinstance(course, Receive):
                daemon.end()
            elif isinstance(course, Leave) and course.hooked and not before.hooked:
                await self._depart(course, daemon)
            return
        if course == before:
            return
        match course:
            case Receive():
                if isinstance(before, Hold):
                    self._log.emit(events.LIFECYCLE_RESUMED)
                daemon.resume()
            case Hold(reason=reason):
                self._log.emit(events.LIFECYCLE_HELD, reason=reason)
                daemon.hold(reason)
            case Leave():
                await self._depart(course, daemon)

    async def _depart(self, course: Leave, daemon: Daemon) -> None:
        self._log.emit(events.LIFECYCLE_NOTICED, reason=course.reason)
        daemon.leave(course.reason)
        try:
            if self._hook is not None and course.hooked:
                await self._tell_auto_scaling(self._hook, daemon)
        finally:
            daemon.left()

    async def _tell_auto_scaling(self, hook: TerminationHook, daemon: Daemon) -> None:
        try:
            identity = await self._source.identity()
        except InstanceUnknown as error:
            self._log.emit(events.LIFECYCLE_FAILED, reason=str(error))
            return
        group = self._group or identity.auto_scaling_group
        if group is None:
            self._log.emit(events.LIFECYCLE_FAILED, reason=_NO_GROUP)
            return
        while not daemon.drained.is_set():
            await self._beat(hook, group, identity.instance_id)
            await first_of(daemon.drained.wait(), self._clock.sleep(HEARTBEAT_SECONDS))
        await self._complete(hook, group, identity.instance_id)

    async def _beat(self, hook: TerminationHook, group: str, instance_id: str) -> None:
        try:
            await hook.heartbeat(group, instance_id)
        except SqsdError as error:
            self._log.emit(events.LIFECYCLE_FAILED, reason=str(error))

    async def _complete(self, hook: TerminationHook, group: str, instance_id: str) -> None:
        for attempt in range(_COMPLETE_TRIES):
            try:
                await hook.complete(group, instance_id)
            except SqsdError as error:
                # Without word the hook ends by its own timeout: later, and no message is lost.
                self._log.emit(events.LIFECYCLE_FAILED, reason=str(error))
                await self._clock.sleep(2.0**attempt)
            else:
                self._log.emit(events.LIFECYCLE_COMPLETED, instance_id=instance_id)
                return

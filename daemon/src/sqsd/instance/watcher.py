"""Follows the instance's notices: pauses or drains the daemon, and completes the termination hook.

The daemon is paused until the first poll, so that an instance in a warm pool never receives. The
poll takes milliseconds where there is a metadata service, and at most `FIRST_POLL_TIMEOUT_SECONDS`
where there is none. A machine without one is not watched, and nothing is logged about it.

After a drain for a machine that goes away the process stays, idle, until it gets a signal: a
service manager would otherwise start it again on the dying machine. If the notice is withdrawn, as
after a hibernation, the process exits so that it is started afresh.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from sqsd.base.backoff import doubled
from sqsd.base.errors import InstanceUnknown, SqsdError
from sqsd.base.ports import Clock, EventLog
from sqsd.base.waits import first_of
from sqsd.contract import events
from sqsd.instance.notices import (
    Advice,
    Drain,
    InstanceIdentity,
    InstanceNotices,
    Pause,
    Receive,
    decide,
)

#: Time between two polls, seconds; what AWS advises for Spot notices.
POLL_SECONDS: Final = 5.0
#: Deadline of the first poll, which delays the first receive, seconds.
FIRST_POLL_TIMEOUT_SECONDS: Final = 0.5
#: Deadline of every later poll, seconds.
_POLL_TIMEOUT_SECONDS: Final = 2.0
#: Failed polls, with none that succeeded, after which the machine has no metadata service.
_FAILED_POLLS: Final = 3
#: Time between two heartbeats of the hook, seconds; its timeout is 30 s at least.
HEARTBEAT_SECONDS: Final = 20.0
#: Attempts to complete the hook.
_COMPLETE_ATTEMPTS: Final = 6
#: Wait after a failed attempt to complete the hook, seconds: the first, and the longest.
_FIRST_RETRY_SECONDS: Final = 1.0
_LONGEST_RETRY_SECONDS: Final = 32.0
#: Why Auto Scaling is not called although the settings ask for it.
NO_GROUP: Final = (
    "the Auto Scaling group is not known: set auto_scaling_group, or have the launch template show"
    " instance tags in metadata (InstanceMetadataTags: enabled)"
)
#: Why the hook is not called although the settings name one.
_NO_GROUP: Final = f"lifecycle_hook is set, but {NO_GROUP}. The hook ends by its own timeout"


class InstanceSource(Protocol):
    """Reads the instance's metadata: `instance.imds.Imds`."""

    async def notices(self, *, timeout: float) -> InstanceNotices:
        """Return the notices of now.

        Raises:
            InstanceUnknown: there was no usable answer within `timeout` seconds.
        """

    async def identity(self) -> InstanceIdentity:
        """Return which instance this is.

        Raises:
            InstanceUnknown: there was no usable answer.
        """


class TerminationHook(Protocol):
    """Calls the group's hook on termination: `instance.auto_scaling.LifecycleHook`."""

    async def heartbeat(self, group: str, instance_id: str) -> None:
        """Restart the hook's timeout; raises `SqsdError`."""

    async def complete(self, group: str, instance_id: str) -> None:
        """Let Auto Scaling terminate the instance; raises `SqsdError`."""


class Daemon(Protocol):
    """Is paused and drained by the watcher: `supervisor.Supervisor`."""

    #: Set once no message is in flight any more.
    drained: asyncio.Event

    def pause(self, reason: str) -> None:
        """Receive nothing until `resume`."""

    def resume(self) -> None:
        """Receive again."""

    def drain_and_stay(self, reason: str) -> None:
        """Drain, then stay until there is a signal or `exit` is called."""

    def lifecycle_completed(self) -> None:
        """Note that Auto Scaling needs no further call, so that a signal may end the process."""

    def exit(self) -> None:
        """End the process; a service manager may start it again."""


class InstanceWatcher:
    """Watches one instance. Construct it with the dispatcher paused.

    Args:
        source: the instance's metadata.
        hook: the hook on termination, or None if the settings name none.
        auto_scaling_group: name of the group, or None to take it from the instance's tag.
        clock: the clock of the daemon.
        log: where events go.
        drain_on_rebalance: whether a rebalance recommendation drains the daemon.
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
        self._source = source
        self._hook = hook
        self._group = auto_scaling_group
        self._clock = clock
        self._log = log
        self._drain_on_rebalance = drain_on_rebalance
        self._has_metadata = False
        self._advice: Advice | None = None

    async def run(self, daemon: Daemon) -> None:
        """Watch until cancelled, or until the machine turns out to have no metadata service."""
        try:
            await self._watch(daemon)
        except Exception:
            daemon.resume()  # a defect of the watcher must not stop messages for ever
            raise

    async def _watch(self, daemon: Daemon) -> None:
        failed_polls = 0
        timeout = FIRST_POLL_TIMEOUT_SECONDS
        while True:
            advice = await self._poll(timeout)
            if advice is not None:
                failed_polls = 0
                await self._follow(advice, daemon)
            else:
                failed_polls += 1
                if self._advice is None:
                    self._advice = Receive()
                    daemon.resume()
                if not self._has_metadata and failed_polls >= _FAILED_POLLS:
                    return
            timeout = _POLL_TIMEOUT_SECONDS
            await self._clock.sleep(POLL_SECONDS)

    async def _poll(self, timeout: float) -> Advice | None:
        try:
            notices = await self._source.notices(timeout=timeout)
        except InstanceUnknown:
            return None
        self._has_metadata = True
        return decide(notices, drain_on_rebalance=self._drain_on_rebalance)

    async def _follow(self, advice: Advice, daemon: Daemon) -> None:
        before = self._advice
        self._advice = advice
        if isinstance(before, Drain):
            if isinstance(advice, Receive):
                daemon.exit()
            elif isinstance(advice, Drain) and advice.hook_waits and not before.hook_waits:
                await self._drain(advice, daemon)
            return
        if advice == before:
            return
        match advice:
            case Receive():
                if isinstance(before, Pause):
                    self._log.emit(events.LIFECYCLE_RESUMED)
                daemon.resume()
            case Pause(reason=reason):
                self._log.emit(events.LIFECYCLE_HELD, reason=reason)
                daemon.pause(reason)
            case Drain():
                await self._drain(advice, daemon)

    async def _drain(self, advice: Drain, daemon: Daemon) -> None:
        self._log.emit(events.LIFECYCLE_NOTICED, reason=advice.reason)
        daemon.drain_and_stay(advice.reason)
        try:
            if self._hook is not None and advice.hook_waits:
                await self._complete_after_drain(self._hook, daemon)
        finally:
            daemon.lifecycle_completed()

    async def _complete_after_drain(self, hook: TerminationHook, daemon: Daemon) -> None:
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
            await self._heartbeat(hook, group, identity.instance_id)
            await first_of(daemon.drained.wait(), self._clock.sleep(HEARTBEAT_SECONDS))
        await self._complete(hook, group, identity.instance_id)

    async def _heartbeat(self, hook: TerminationHook, group: str, instance_id: str) -> None:
        try:
            await hook.heartbeat(group, instance_id)
        except SqsdError as error:
            self._log.emit(events.LIFECYCLE_FAILED, reason=str(error))

    async def _complete(self, hook: TerminationHook, group: str, instance_id: str) -> None:
        for attempt in range(_COMPLETE_ATTEMPTS):
            try:
                await hook.complete(group, instance_id)
            except SqsdError as error:
                # Without completion the hook ends by its timeout: later, and no message is lost.
                self._log.emit(events.LIFECYCLE_FAILED, reason=str(error))
                await self._clock.sleep(
                    doubled(_FIRST_RETRY_SECONDS, attempt, _LONGEST_RETRY_SECONDS)
                )
            else:
                self._log.emit(events.LIFECYCLE_COMPLETED, instance_id=instance_id)
                return

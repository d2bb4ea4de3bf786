"""Protects this instance from scale-in while a long request runs: the shell of `protection`.

It never delays a message: it runs beside the dispatcher, and a failure is logged at most once a
minute.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from sqsd.base.errors import AwsError, InstanceUnknown, SqsdError
from sqsd.base.ports import Clock, EventLog
from sqsd.base.throttle import LogThrottle
from sqsd.contract import events
from sqsd.instance.notices import InstanceIdentity
from sqsd.instance.protection import Protection
from sqsd.instance.watcher import NO_GROUP

#: Time between two polls of the requests that run, seconds.
POLL_SECONDS: Final = 1.0
#: Time from the start within which an instance that is not in service yet is no failure, seconds.
STARTING_SECONDS: Final = 300.0
#: Part of Auto Scaling's refusal of an instance that is neither in service nor on standby.
_NOT_IN_SERVICE: Final = "is not in InService"


class Identifies(Protocol):
    """Reads which instance this is: `instance.imds.Imds`."""

    async def identity(self) -> InstanceIdentity:
        """Return which instance this is.

        Raises:
            InstanceUnknown: there was no usable answer.
        """


class ProtectionApi(Protocol):
    """Sets the protection of an instance: `instance.auto_scaling.InstanceProtection`."""

    async def protect(self, group: str, instance_id: str, *, protected: bool) -> None:
        """Set whether a scale-in leaves the instance; raises `SqsdError`."""


class Daemon(Protocol):
    """Is protected: `supervisor.Supervisor`."""

    #: The machine goes away, so that nothing protects it any more.
    host_is_leaving: bool


class ScaleInProtection:
    """Protects one instance while it is busy.

    Args:
        source: the instance's metadata.
        auto_scaling_group: name of the group, or None to take it from the instance's tag.
        oldest_request: when the oldest request that runs was sent, monotonic seconds, or None.
        is_paused: whether the instance is held in reserve, where Auto Scaling refuses the call.
    """

    name = "scale-in protection"

    def __init__(
        self,
        *,
        source: Identifies,
        api: ProtectionApi,
        auto_scaling_group: str | None,
        oldest_request: Callable[[], float | None],
        is_paused: Callable[[], bool],
        clock: Clock,
        log: EventLog,
    ) -> None:
        self._source = source
        self._api = api
        self._group = auto_scaling_group
        self._oldest_request = oldest_request
        self._is_paused = is_paused
        self._clock = clock
        self._log = log
        self._throttle = LogThrottle()
        self._protection = Protection()
        self._began_at = clock.monotonic()
        self._known: tuple[str, str] | None = None

    async def run(self, daemon: Daemon) -> None:
        """Protect until cancelled, which ends the protection, or until the machine goes away."""
        try:
            while not daemon.host_is_leaving:
                if not self._is_paused():
                    await self._poll()
                await self._clock.sleep(POLL_SECONDS)
        finally:
            if self._protection.is_left_behind and not daemon.host_is_leaving:
                await self._set(protected=False)

    async def _poll(self) -> None:
        wanted = self._protection.wanted(self._oldest_request(), self._clock.monotonic())
        if wanted is not None:
            await self._set(protected=wanted)

    async def _set(self, *, protected: bool) -> None:
        was_left_behind = self._protection.is_left_behind
        was_protected = self._protection.protected is True
        self._protection.asked(protected)
        ok = await self._call(protected)
        self._protection.ended(protected, self._clock.monotonic(), ok=ok)
        if ok and protected and not was_protected:
            self._log.emit(events.LIFECYCLE_PROTECTED)
        elif ok and not protected and was_left_behind:
            self._log.emit(events.LIFECYCLE_UNPROTECTED)

    async def _call(self, protected: bool) -> bool:
        try:
            group, instance_id = await self._who()
            await self._api.protect(group, instance_id, protected=protected)
        except SqsdError as error:
            if not protected and self._is_not_yet_in_service(error):
                return False
            if times := self._throttle.admits(self._clock.monotonic()):
                self._log.emit(events.LIFECYCLE_FAILED, reason=str(error), times=times)
            return False
        self._throttle.reset()
        return True

    def _is_not_yet_in_service(self, error: SqsdError) -> bool:
        """Return whether Auto Scaling refuses because the instance is only just starting.

        Nothing is lost by it: such an instance is chosen by no scale-in, and a predecessor's
        protection is taken away later.
        """
        return (
            isinstance(error, AwsError)
            and _NOT_IN_SERVICE in error.message
            and not self._protection.was_asked_for
            and self._clock.monotonic() - self._began_at < STARTING_SECONDS
        )

    async def _who(self) -> tuple[str, str]:
        """Return the group and the id of this instance, which never change."""
        if self._known is None:
            identity = await self._source.identity()
            group = self._group or identity.auto_scaling_group
            if group is None:
                raise InstanceUnknown(NO_GROUP)
            self._known = group, identity.instance_id
        return self._known

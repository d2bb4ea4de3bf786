"""Queue, instances and clock: events in the order of their time, a sample each minute."""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from tools.simulation.loads import Load
from tools.simulation.policies import Sample, Scaler

_MINUTE: Final = 60.0
#: CPU while every connection is busy, in percent: the work mostly waits for other services.
_BUSY_CPU: Final = 70.0
_VISIBILITY_SECONDS: Final = 300.0
_MAX_RETRIES: Final = 10


@dataclass(eq=False)
class _Message:
    sent: float
    poison: bool
    receives: int = 0
    settled: bool = False
    group: int = 0


@dataclass(eq=False)
class _Instance:
    started: float
    ready: float
    work: dict[int, _Message] = field(default_factory=dict)
    leaving: bool = False
    sent_bytes: float = 0.0


@dataclass(kw_only=True)
class Result:
    """What a run cost, and how late it was: in minutes, messages and hours."""

    minutes_late: int = 0
    messages: int = 0
    messages_late: int = 0
    killed: int = 0
    instance_hours: float = 0.0
    times: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    instances: list[int] = field(default_factory=list)


@dataclass(kw_only=True)
class World:
    """One run.

    Args:
        connections: messages an instance works on at a time.
        grace: seconds that a leaving instance has for its in-flight messages.
        boot: seconds from launch until an instance receives.
        latency: seconds that a message may wait.
    """

    load: Load
    scaler: Scaler
    connections: int
    grace: float
    boot: float
    latency: float
    seed: int = 1

    def run(self) -> Result:
        self._random = random.Random(self.seed)
        self._ids = count()
        self._events: list[tuple[float, int, str, object]] = []
        self._waiting: deque[tuple[float, _Message]] = deque()
        self._fleet = [_Instance(0.0, 0.0) for _ in range(self.scaler.low)]
        #: Message groups with a message in flight or hidden; SQS delivers no other message of them.
        self._busy_groups: set[int] = set()
        self._history: list[Sample] = []
        self._result = Result()
        self._hidden = 0
        self._at(_MINUTE, "minute", None)
        self._arrive_next(0.0)
        while self._events:
            now, _, what, about = heapq.heappop(self._events)
            if now > self.load.seconds:
                break
            getattr(self, f"_on_{what}")(now, about)
        return self._result

    def _at(self, time: float, what: str, about: object) -> None:
        heapq.heappush(self._events, (time, next(self._ids), what, about))

    # ---- events

    def _arrive_next(self, now: float) -> None:
        # At most a second ahead, so that a rising rate is followed.
        wait = self._random.expovariate(max(self.load.rate(now), 1e-6))
        if wait > 1.0:
            self._at(now + 1.0, "nothing", None)
        else:
            self._at(now + wait, "arrival", None)

    def _on_nothing(self, now: float, _: object) -> None:
        self._arrive_next(now)

    def _on_arrival(self, now: float, _: object) -> None:
        poison = self._random.random() < self.load.poison
        group = self._random.randrange(self.load.groups) if self.load.groups else 0
        self._waiting.append((now, _Message(now, poison, group=group)))
        self._result.messages += 1
        self._arrive_next(now)
        self._dispatch(now)

    def _on_visible(self, now: float, message: _Message) -> None:
        self._hidden -= 1
        self._busy_groups.discard(message.group)
        if self.load.groups:
            self._waiting.appendleft((now, message))
        else:
            self._waiting.append((now, message))
        self._dispatch(now)

    def _on_done(self, now: float, about: tuple[_Instance, int]) -> None:
        instance, id = about
        message = instance.work.pop(id, None)
        if message is None:
            return  # it was killed with its instance
        instance.sent_bytes += self.load.message_bytes
        self._busy_groups.discard(message.group)
        if message.poison and message.receives < _MAX_RETRIES:
            self._hide(now, message)
        if instance.leaving and not instance.work:
            self._gone(now, instance)
        else:
            self._dispatch(now)

    def _on_ready(self, now: float, _: object) -> None:
        self._dispatch(now)

    def _on_deadline(self, now: float, instance: _Instance) -> None:
        if instance in self._fleet:
            self._result.killed += len(instance.work)
            for message in instance.work.values():
                self._hide(now, message)
            instance.work.clear()
            self._gone(now, instance)

    def _on_minute(self, now: float, _: object) -> None:
        self._record(now)
        # Metrics are a minute old when an alarm sees them.
        history = self._history[:-1]
        staying = [instance for instance in self._fleet if not instance.leaving]
        warm = sum(1 for i in staying if i.ready <= now and now - i.started >= self.scaler.warmup)
        wanted = self.scaler.wanted(history, now=now, size=len(staying), warm=warm)
        for _ in range(wanted - len(staying)):
            self._fleet.append(_Instance(now, now + self.boot))
            self._at(now + self.boot, "ready", None)
        too_many = max(0, len(staying) - wanted)
        for instance in sorted(staying, key=lambda i: i.started)[:too_many]:
            instance.leaving = True
            self._at(now + self.grace, "deadline", instance)
            if not instance.work:
                self._gone(now, instance)
        self._at(now + _MINUTE, "minute", None)

    # ---- what events do

    def _dispatch(self, now: float) -> None:
        while self._waiting:
            free = [
                i
                for i in self._fleet
                if not i.leaving and i.ready <= now and len(i.work) < self.connections
            ]
            if not free:
                return
            instance = min(free, key=lambda i: len(i.work))
            next_one = self._take()
            if next_one is None:
                return
            since, message = next_one
            if message.receives == 0 and now - since > self.latency:
                self._result.messages_late += 1
            message.receives += 1
            id = next(self._ids)
            instance.work[id] = message
            takes = self._random.expovariate(1 / self.load.mean_seconds(now))
            self._at(now + takes, "done", (instance, id))

    def _take(self) -> tuple[float, _Message] | None:
        """The message that SQS would deliver first, or None if every group has one in flight."""
        if not self.load.groups:
            return self._waiting.popleft()
        if len(self._busy_groups) == self.load.groups:
            return None
        for position, (_, message) in enumerate(self._waiting):
            if message.group not in self._busy_groups:
                self._busy_groups.add(message.group)
                found = self._waiting[position]
                del self._waiting[position]
                return found
        return None

    def _hide(self, now: float, message: _Message) -> None:
        self._hidden += 1
        if self.load.groups:
            self._busy_groups.add(message.group)
        self._at(now + _VISIBILITY_SECONDS, "visible", message)

    def _gone(self, now: float, instance: _Instance) -> None:
        self._fleet.remove(instance)
        self._result.instance_hours += (now - instance.started) / 3_600

    def _record(self, now: float) -> None:
        # Auto Scaling counts an instance from its launch, long before anything on it answers.
        in_service = [i for i in self._fleet if not i.leaving]
        serving = [i for i in in_service if i.ready <= now]
        busy = sum(len(instance.work) for instance in self._fleet)
        each = max(1, len(serving))
        self._history.append(
            {
                "visible": float(len(self._waiting)),
                "in_flight": float(busy + self._hidden),
                "delayed": 0.0,
                "instances": float(len(in_service)),
                # Basic monitoring: bytes of five minutes, for each instance.
                "network_out": 5 * sum(i.sent_bytes for i in serving) / max(1, len(in_service)),
                "cpu": _BUSY_CPU * min(1.0, busy / (each * self.connections)),
            }
        )
        for instance in self._fleet:
            instance.sent_bytes = 0.0
        result = self._result
        result.times.append(now / 3_600)
        result.rates.append(self.load.rate(now))
        result.waiting.append(len(self._waiting))
        result.instances.append(len(self._fleet))
        if self._waiting and now - self._waiting[0][0] > self.latency:
            result.minutes_late += 1
        if now + _MINUTE > self.load.seconds:
            for instance in self._fleet:
                result.instance_hours += (now - instance.started) / 3_600

"""Periodic tasks and when they are due: pure functions of a task and a moment.

The calendar is walked by the library `cronsim`. It is given every field as an explicit list, for
its own reading of a starred step in a day field (Debian's: both must match) is not EB's (either
may).

**Time zones.** EB has UTC only, our default. With `timezone`, fields are local time, and on the two
odd days of a year:

- A schedule that leaves the hour open (`*`, or all 24 named) is counted in elapsed time:
  `*/15 * * * *` goes on every 15 minutes through both kinds of change.
- A schedule that names hours runs once for each local time it names. A time that the clock jumps
  over is due at the jump, once even if the jump passes several; a time that comes twice is due the
  first time only.

`@every` knows no time zone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import takewhile
from typing import Final, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim

from sqsd.cron.expression import CronExpression, Expression, Interval

Overlap = Literal["allow", "skip"]
CatchUp = int | Literal["latest"]

#: Default of `catch_up`, in seconds (Elastic Beanstalk's figure).
CATCH_UP_DEFAULT: Final = 300
#: Largest `catch_up`, in seconds.
CATCH_UP_MAX: Final = 86_400
#: First stretch of time in which the newest occurrence is looked for; each further one is doubled.
_SEARCH: Final = timedelta(minutes=1)
#: Largest `jitter`, in seconds.
JITTER_MAX: Final = 3_600


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One entry of `cron.yaml`.

    Args:
        name: unique in its file; becomes the header `X-Aws-Sqsd-Taskname`.
        url: the path that is POSTed to.
        schedule: when; see `cron.expression`.
        timezone: IANA name of the zone that `schedule` is written in. Default: UTC, as in EB.
        overlap: `skip` drops an occurrence while the one before it has not been answered with 200.
            Default: `allow`, as in EB.
        catch_up: seconds after its time during which a missed occurrence is still enqueued, 0 to
            86,400. Default: 300, EB's figure. With `latest` only the newest missed occurrence is
            enqueued, if it is no older than 86,400 s.
        enabled: False disables the task without removing it. Default: True.
        jitter: seconds, 0 to 3,600, over which tasks are spread by their names: each is enqueued by
            a fixed delay of up to `jitter` after its time. Default: 0.
        description: for people.
    """

    name: str
    url: str
    schedule: Expression
    timezone: str = "UTC"
    overlap: Overlap = "allow"
    catch_up: CatchUp = CATCH_UP_DEFAULT
    enabled: bool = True
    jitter: int = 0
    description: str = ""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The tasks of one `cron.yaml`, in its order.

    Args:
        warnings: what is read as Elastic Beanstalk reads it but may not be meant, with its place.
    """

    tasks: tuple[Task, ...] = ()
    warnings: tuple[str, ...] = field(default=(), compare=False)

    @property
    def enabled(self) -> tuple[Task, ...]:
        """The tasks that run. Without one the leader table is never used."""
        return tuple(task for task in self.tasks if task.enabled)


def zone_of(name: str) -> tzinfo:
    """Return the zone of an IANA name; `UTC` needs no time zone database.

    Raises:
        ValueError, ZoneInfoNotFoundError: there is no zone of that name.
    """
    return UTC if name == "UTC" else ZoneInfo(name)


def next_after(task: Task, at: datetime) -> datetime:
    """Return the first time, in UTC, at which `task` is due strictly later than the aware `at`."""
    return _next_after(task.schedule, task.timezone, at)


def occurrences_between(task: Task, after: datetime, until: datetime) -> Iterator[datetime]:
    """Yield the times in UTC at which `task` is due, later than `after`, `until` at the latest."""
    return takewhile(lambda due: due <= until, _occurrences(task.schedule, task.timezone, after))


def newest_between(task: Task, after: datetime, until: datetime) -> datetime | None:
    """Return the last time in UTC at which `task` is due, later than `after`, or None.

    Args:
        until: the time itself counts.
    """
    stretch = _SEARCH
    while True:
        start = max(after, until - stretch)
        newest = None
        for newest in occurrences_between(task, start, until):  # noqa: B007
            pass
        if newest is not None or start == after:
            return newest
        stretch *= 2


# Cached, because a scheduler asks for the same time until it has come.
@lru_cache(maxsize=1_024)
def _next_after(schedule: Expression, timezone: str, at: datetime) -> datetime:
    return next(_occurrences(schedule, timezone, at))


def _occurrences(schedule: Expression, timezone: str, at: datetime) -> Iterator[datetime]:
    if isinstance(schedule, Interval):
        return _multiples(schedule.seconds, at)
    zone = zone_of(timezone)
    if zone is UTC:
        return CronSim(_library_text(schedule), at.astimezone(UTC))
    if len(schedule.hours) == 24:
        return _elapsed(schedule, at.astimezone(zone))
    return _local(schedule, at.astimezone(zone))


def _multiples(seconds: int, at: datetime) -> Iterator[datetime]:
    epoch = datetime.fromtimestamp(0, UTC)
    step = timedelta(seconds=seconds)
    due = epoch + ((at.astimezone(UTC) - epoch) // step) * step
    while True:
        due += step
        yield due


def _elapsed(schedule: CronExpression, at: datetime) -> Iterator[datetime]:
    """Yield the times of a schedule that leaves the hour open.

    The library steps through UTC and compares local fields.
    """
    # It leaps to a single minute in one step and so would miss one that half an hour's change
    # (Lord Howe Island) brings back; with all minutes it walks, and we pick.
    for due in CronSim(_library_text(schedule, minutes="*"), at):
        if due.minute in schedule.minutes:
            yield due.astimezone(UTC)


def _local(schedule: CronExpression, at: datetime) -> Iterator[datetime]:
    """Yield the times of a schedule that names hours.

    Local times come from a calendar without changes; each is then converted to UTC.
    """
    zone = at.tzinfo
    last = at.astimezone(UTC)
    for due in CronSim(_library_text(schedule), at.replace(tzinfo=None)):
        moment = _moment(due, zone)
        # Not later: the second pass of a repeated hour, or one more time inside one jump.
        if moment > last:
            last = moment
            yield moment


def _moment(local: datetime, zone: tzinfo | None) -> datetime:
    """Return the first time that is `local` in `zone`, or the jump that passes it."""
    before = local.replace(tzinfo=zone, fold=0)
    after = local.replace(tzinfo=zone, fold=1)
    moment = before.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == local:
        return moment
    return _jump(after.astimezone(UTC), moment, zone)


def _jump(low: datetime, high: datetime, zone: tzinfo | None) -> datetime:
    """Return when in (low, high] the zone's offset changes, to the second."""
    offset = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        if middle.astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return high


def _library_text(schedule: CronExpression, minutes: str | None = None) -> str:
    """Return the expression in the library's syntax, seconds first."""
    # Only a literal star makes it require both day fields, and a full list is no star.
    any_day = not schedule.either_day
    fields = (
        "0",
        minutes or _listed(schedule.minutes),
        _listed(schedule.hours),
        "*" if any_day and len(schedule.days) == 31 else _listed(schedule.days),
        _listed(schedule.months),
        "*" if any_day and len(schedule.weekdays) == 7 else _listed(schedule.weekdays),
    )
    return " ".join(fields)


def _listed(values: frozenset[int]) -> str:
    return ",".join(map(str, sorted(values)))

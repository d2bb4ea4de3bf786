"""Accounts for every message: ids in, an account out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

#: Ids that a problem names; further ones are only counted.
_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Witnessed:
    """Where messages were seen, by id. Each list comes from the component that knows.

    Args:
        sent: by the producer, as SQS accepted them.
        answered: one entry per answer 200 that led to a delete, by the daemon's log.
        dead_lettered: found in the dead-letter queue at the end.
        waiting: found in the work queue at the end.
        expired: deleted without a POST for their age, by the daemon's log.
        proxy_answered: one entry per answer 200 by the proxy's log; None without a proxy.
    """

    sent: Sequence[str]
    answered: Sequence[str] = ()
    dead_lettered: Collection[str] = ()
    waiting: Collection[str] = ()
    expired: Collection[str] = ()
    proxy_answered: Sequence[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Account:
    """Counts of messages sent, by where they are; and what does not add up."""

    sent: int
    answered: int
    dead_lettered: int
    waiting: int
    expired: int
    #: Ids that the application answered with 200 more than once.
    dispatched_twice: tuple[str, ...] = ()
    #: Sentences; empty when the account balances.
    problems: tuple[str, ...] = field(default=())

    @property
    def balances(self) -> bool:
        """Every message sent is in exactly one place, and no other message is anywhere."""
        return not self.problems


def settle_account(seen: Witnessed) -> Account:
    """Find every message sent in one of the places where it can be."""
    sent = set(seen.sent)
    places = {
        "answered 200": set(seen.answered),
        "in the dead-letter queue": set(seen.dead_lettered),
        "still in the queue": set(seen.waiting),
        "expired": set(seen.expired),
    }
    found = Counter(message_id for ids in places.values() for message_id in ids)
    counts = [len(ids & sent) for ids in places.values()]
    problems = [
        *_problem(_repeated(seen.sent), "sent under the same id as another"),
        *_problem(sent - found.keys(), "sent and found nowhere: lost"),
        *_problem(found.keys() - sent, "found that were not sent"),
        *_overlaps({i for i, times in found.items() if times > 1}, places),
        *_unwitnessed(seen),
    ]
    if len(sent) != sum(counts) and not problems:
        raise AssertionError(f"{len(sent)} sent, {counts} found, and no problem")
    answered, dead_lettered, waiting, expired = counts
    return Account(
        sent=len(sent),
        answered=answered,
        dead_lettered=dead_lettered,
        waiting=waiting,
        expired=expired,
        dispatched_twice=_dispatched_twice(seen),
        problems=tuple(problems),
    )


def _dispatched_twice(seen: Witnessed) -> tuple[str, ...]:
    # The proxy saw every request; the daemon's log only what it thinks it did.
    answers = seen.answered if seen.proxy_answered is None else seen.proxy_answered
    return tuple(sorted(_repeated(answers)))


def _unwitnessed(seen: Witnessed) -> list[str]:
    if seen.proxy_answered is None:
        return []
    unseen = set(seen.answered) - set(seen.proxy_answered)
    return _problem(unseen, "deleted though the proxy saw no answer 200")


def _overlaps(shared: set[str], places: dict[str, set[str]]) -> list[str]:
    kinds = Counter(
        " and ".join(name for name, ids in places.items() if message_id in ids)
        for message_id in shared
    )
    return [f"{number} {_messages(number)} {kind}" for kind, number in sorted(kinds.items())]


def _repeated(ids: Iterable[str]) -> set[str]:
    return {message_id for message_id, times in Counter(ids).items() if times > 1}


def _problem(ids: Collection[str], what: str) -> list[str]:
    if not ids:
        return []
    named = ", ".join(sorted(ids)[:_NAMED]) + (", ..." if len(ids) > _NAMED else "")
    return [f"{len(ids)} {_messages(len(ids))} {what} ({named})"]


def _messages(number: int) -> str:
    return "message" if number == 1 else "messages"

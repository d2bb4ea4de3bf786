"""Commands for operators: `sqsd dead-letters`, `sqsd send` and `sqsd leader`.

They act on a deployed tier, from an instance or any other machine. `tier.json`, a stack's outputs
or flags name the tier. Exit codes: 0 done; 1 AWS refused, or what was asked for does not exist; 2
the arguments cannot be used.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqsd import contract
from sqsd.base.errors import SqsdError
from sqsd.base.printable import printable
from sqsd.config import load as settings
from sqsd.config.resource_checks import resource_problems
from sqsd.contract import InvalidSettings, TierResources
from sqsd.cron.lease import FREE, LeaseRecord
from sqsd.operator.dead_letters import DeadLetter, list_letters, listed, show_letter

if TYPE_CHECKING:
    from sqsd.operator.aws import OperatorAws

#: Resources that flags may name.
_RESOURCES: Final = ("queue_url", "dead_letter_queue_url", "leader_table", "region")
#: Fastest redrive that SQS allows, messages a second.
_MOST_RATE: Final = 500
#: What `ArgumentParser.add_subparsers` returns; argparse's type is private.
Subparsers = Any


def add_commands(commands: Subparsers) -> None:
    """Add the commands to the parser of `sqsd`."""
    letters = commands.add_parser("dead-letters", help="list, show, redrive or purge dead letters")
    actions = letters.add_subparsers(required=True, metavar="ACTION")
    one = _add(actions, "list", _list, "print the dead letters, the oldest first; none is removed")
    _add_most(one)
    _add_body(one)
    one = _add(actions, "show", _show, "print all there is about one dead letter")
    one.add_argument("message_id", metavar="MESSAGE_ID", help="as `list` prints it")
    _add_most(one)
    _add_body(one)
    one.add_argument(
        "--raw",
        action="store_true",
        help="print the body alone, byte for byte; not to a terminal, which a body may steer",
    )
    one = _add(actions, "redrive", _redrive, "let SQS move them to the work queue, as they are")
    one.add_argument(
        "--rate",
        type=_whole(1, _MOST_RATE),
        metavar="N",
        help=f"messages a second, 1 to {_MOST_RATE} (default: as SQS likes)",
    )
    one = _add(actions, "purge", _purge, "delete all of them for good")
    one.add_argument("--yes", action="store_true", help="do not ask")
    one = _add(commands, "send", _send, "send a message to the work queue")
    one.add_argument("body", metavar="BODY", help="text of the message; - reads standard input")
    one.add_argument(
        "--attribute",
        action="append",
        default=[],
        type=_pair,
        metavar="NAME=VALUE",
        help="message attribute of type String; may be given more than once",
    )
    one.add_argument("--delay", type=_whole(0, 900), metavar="SECONDS", help="0 to 900")
    one.add_argument("--group-id", metavar="ID", help="MessageGroupId, for FIFO queues")
    one.add_argument("--deduplication-id", metavar="ID", help="for FIFO queues")
    _add(commands, "leader", _leader, "print who enqueues periodic tasks, and whether it lives")


def _add(
    commands: Subparsers, name: str, action: Callable[[_Request], int], meaning: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=meaning, description=meaning)
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help=f"tier.json (default: {contract.SETTINGS_PATH}, unless a queue or stack is named)",
    )
    parser.add_argument("--stack", metavar="NAME", help="take the outputs of a deployed stack")
    meanings = dict(settings.described_resources())
    for resource in _RESOURCES:
        parser.add_argument(
            f"--{resource.replace('_', '-')}",
            dest=resource,
            metavar=resource.rpartition("_")[2].upper(),
            help=meanings[resource],
        )
    parser.set_defaults(command=lambda chosen: _run(action, chosen))
    return parser


def _add_most(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-n", type=_whole(1, 10_000), default=100, help="read at most N (default: %(default)s)"
    )


def _add_body(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--body", action="store_true", help="print bodies, which may be secret")


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal()) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {low} to {high}, got {text!r}"
            )
        return int(text)

    return read


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE, neither of them empty, got {text!r}")
    return name, value


class _Request:
    """Holds the arguments of a command, and the tier that it acts on."""

    def __init__(
        self, chosen: argparse.Namespace, resources: TierResources, aws: OperatorAws
    ) -> None:
        self.chosen = chosen
        self.resources = resources
        self.aws = aws


def _run(action: Callable[[_Request], int], chosen: argparse.Namespace) -> int:
    # Imported here, because the daemon starts without it.
    from sqsd.operator.aws import OperatorAws, outputs_of

    flags = {n: v for n in _RESOURCES if (v := getattr(chosen, n)) is not None}
    try:
        if chosen.stack is not None:
            flags = {**outputs_of(chosen.stack, flags.get("region")), **flags}
        resources = _resources(chosen.settings, flags, chosen.stack)
        return action(_Request(chosen, resources, OperatorAws(resources)))
    except SqsdError as error:
        print(f"sqsd: {printable(str(error))}", file=sys.stderr)
        return 1


def _resources(path: Path | None, flags: Mapping[str, str], stack: str | None) -> TierResources:
    if stack is not None and "queue_url" not in flags:
        raise InvalidSettings(
            ["it has no output QueueUrl; name the queue with --queue-url"], f"stack {stack}"
        )
    if path is None and "queue_url" not in flags:
        path = Path(contract.SETTINGS_PATH)
    resources = settings.load(path, flags).resources
    urls = {
        "queue_url": resources.queue_url,
        "dead_letter_queue_url": resources.dead_letter_queue_url,
    }
    if problems := resource_problems(resources.region, urls):
        raise InvalidSettings(problems, str(path or "flags"))
    return resources


def _list(request: _Request) -> int:
    url = request.aws.dead_letter_queue()
    bodies = request.chosen.body
    found = request.aws.dead_letters(url, request.chosen.n)
    letters = [listed(letter, body=bodies) for letter in found]
    print(list_letters(letters, time.time(), bodies=bodies), end="")
    if len(letters) == request.chosen.n:
        print(f"these are the first {request.chosen.n}; -n reads more", file=sys.stderr)
    return 0


def _show(request: _Request) -> int:
    if request.chosen.raw and sys.stdout.isatty():
        problem = (
            "a raw body may steer this terminal: redirect the output to a file or a program, or"
            " give --body, which escapes it"
        )
        raise InvalidSettings([problem], "--raw")
    url = request.aws.dead_letter_queue()
    wanted = request.chosen.message_id
    read = 0
    with closing(request.aws.dead_letters(url, request.chosen.n)) as letters:
        for letter in letters:
            read += 1
            if letter.message_id == wanted:
                _print_one(letter, request.chosen)
                return 0
    print(
        f"sqsd: none of {read} messages of {url} has the id {printable(wanted)};"
        " `sqsd dead-letters list` has their ids, -n reads more",
        file=sys.stderr,
    )
    return 1


def _print_one(letter: DeadLetter, chosen: argparse.Namespace) -> None:
    if chosen.raw:
        sys.stdout.flush()
        sys.stdout.buffer.write(letter.body.encode())
        sys.stdout.buffer.flush()
        return
    print(show_letter(letter, time.time(), body=chosen.body), end="")


def _redrive(request: _Request) -> int:
    source = request.aws.dead_letter_queue()
    waiting = request.aws.waiting(source)
    request.aws.redrive(source, request.chosen.rate)
    print(f"SQS moves about {waiting} messages from {source} to {request.resources.queue_url}")
    return 0


def _purge(request: _Request) -> int:
    url = request.aws.dead_letter_queue()
    waiting = request.aws.waiting(url)
    if not request.chosen.yes and not _agreed(f"delete all (about {waiting}) messages of {url}?"):
        print("sqsd: nothing was deleted; say yes, or give --yes", file=sys.stderr)
        return 1
    request.aws.purge(url)
    print(f"SQS deletes what is in {url}; that may take a minute")
    return 0


def _agreed(question: str) -> bool:
    try:
        return input(f"{question} [yes/no] ").strip().lower() == "yes"
    except EOFError:
        return False


def _send(request: _Request) -> int:
    chosen = request.chosen
    body = sys.stdin.read() if chosen.body == "-" else chosen.body
    more = {
        "DelaySeconds": chosen.delay,
        "MessageGroupId": chosen.group_id,
        "MessageDeduplicationId": chosen.deduplication_id,
    }
    given_more = {name: value for name, value in more.items() if value is not None}
    print(request.aws.send(body, dict(chosen.attribute), given_more))
    return 0


def _leader(request: _Request) -> int:
    if request.resources.leader_table is None:
        raise InvalidSettings(
            ["leader_table is not set: only a tier with periodic tasks has one"], "leader"
        )
    return print_leader(request.aws.lease, time.sleep)


def print_leader(lease: Callable[[], LeaseRecord | None], sleep: Callable[[float], None]) -> int:
    """Print which daemon holds the lease. Returns 0 if the lease is held and renewed, else 1.

    The lease says how long it lasts but not since when, because clocks differ. So this waits for
    that long and compares versions.

    Args:
        lease: returns the lease, or None if there is none.
        sleep: waits for a number of seconds.
    """
    first = lease()
    if first is None or first.holder == FREE:
        print("no daemon leads: the lease is free")
        return 1
    print(f"{printable(first.holder)} leads (term {first.term})")
    sleep(first.lease_seconds)
    second = lease()
    if second is not None and second.version != first.version:
        if second.holder != first.holder:
            print(f"now the leader is {printable(second.holder) or 'none'}")
        else:
            print("it lives: the lease was renewed meanwhile")
        return 0
    print(
        f"it has not renewed the lease in {first.lease_seconds:g} s: another takes over, if one is"
        " up"
    )
    return 1

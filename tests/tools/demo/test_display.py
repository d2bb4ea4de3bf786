"""The summary of the demo: its sums are right, and what is missing is stated."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from tools.demo.account import Witnessed, settle_account
from tools.demo.display import Display, Figures, Snapshot, summary_lines

FIGURES = Figures(
    failed={500: 50, None: 1},
    cron_fired=2,
    tasks_answered=1,
    average_rate=512.4,
    peak_rate=733,
    p50=0.0004,
    p99=0.0123,
    resident_megabytes=41.6,
    daemon_exit_code=0,
    behind_proxy=True,
)
SNAPSHOT = Snapshot(
    elapsed=0.0,
    phase="a mix",
    sent=10,
    queued=1,
    in_flight=2,
    answered=6,
    retried=3,
    dead_lettered=1,
    cron_fired=4,
    rate=88.8,
    p50=None,
    p99=0.002,
)


def test_a_balanced_account_is_shown_as_a_sum() -> None:
    seen = Witnessed(sent=["a", "b", "c"], answered=["a"], dead_lettered={"b"}, waiting={"c"})
    text = "\n".join(summary_lines(settle_account(seen), FIGURES))
    assert "3 = 1 + 1 + 1: balanced" in text
    assert "tried again: 51 (500: 50, no answer: 1)" in text
    assert "512 messages/s on average, 733 in the best second" in text
    assert "p50 0.4 ms, p99 12.3 ms" in text
    assert "exit code 0, resident memory 42 MB" in text
    assert "PROBLEM" not in text
    assert "expired" not in text


def test_expired_messages_are_part_of_the_sum() -> None:
    seen = Witnessed(sent=["a", "b"], answered=["a"], expired={"b"})
    text = "\n".join(summary_lines(settle_account(seen), FIGURES))
    assert "2 = 1 + 0 + 0 + 1: balanced" in text


def test_an_account_that_does_not_balance_says_so_and_why() -> None:
    account = settle_account(Witnessed(sent=["a", "b"], answered=["a"]))
    text = "\n".join(summary_lines(account, FIGURES))
    assert "2 != 1 + 0 + 0: NOT BALANCED" in text
    assert "PROBLEM: 1 message sent and found nowhere: lost (b)" in text


def test_without_a_terminal_there_is_a_line_every_two_seconds_and_at_the_end() -> None:
    output = io.StringIO()
    display = Display(Console(file=output, width=40, highlight=False))
    with display:
        for tenth in range(45):
            display.show(replace(SNAPSHOT, elapsed=tenth / 10), last=tenth == 44)
    lines = output.getvalue().splitlines()
    assert len(lines) == 4
    assert "sent 10, queued 1, in flight 2, 200 6, retried 3, dead-lettered 1" in lines[0]
    assert "throughput 89/s, dispatch p50 -, dispatch p99 2.0 ms" in lines[0]


def test_a_terminal_gets_a_table_that_is_redrawn() -> None:
    output = io.StringIO()
    display = Display(Console(file=output, width=130, force_terminal=True, color_system=None))
    with display:
        display.show(SNAPSHOT)
        display.show(replace(SNAPSHOT, sent=4321), last=True)
    drawn = output.getvalue()
    assert "dead-lettered" in drawn
    assert "4321" in drawn
    assert "\x1b[" in drawn

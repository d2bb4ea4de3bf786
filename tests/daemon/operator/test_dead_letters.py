from __future__ import annotations

import pytest

from sqsd.contract import ATTRIBUTE_FIRST_MESSAGE_ID, ATTRIBUTE_REASON
from sqsd.operator.dead_letters import DeadLetter, age, list_letters, show_letter


def letter(message_id: str, sent_at: float) -> DeadLetter:
    return DeadLetter(message_id=message_id, body="body", sent_at=sent_at, receive_count=2)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"),
        (59.9, "59 s"),
        (60, "1 min 0 s"),
        (3_599, "59 min 59 s"),
        (3_600, "1 h 0 min"),
        (86_399, "23 h 59 min"),
        (86_400, "1 d 0 h"),
        (14 * 86_400, "14 d 0 h"),
    ],
)
def test_an_age_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_the_oldest_comes_first() -> None:
    text = list_letters([letter("b", 20), letter("a", 10)], 30)
    assert [line.split()[0] for line in text.splitlines()] == ["MESSAGE", "a", "b"]
    assert list_letters([], 30) == "no dead letters\n"


def test_one_that_the_daemon_sent_names_its_first_id_and_reason() -> None:
    attributes = {ATTRIBUTE_FIRST_MESSAGE_ID: "first", ATTRIBUTE_REASON: "status 410"}
    sent = DeadLetter(
        message_id="copy", body="body", sent_at=0, receive_count=1, attributes=attributes
    )
    lines = [line.rsplit("  ", 1) for line in show_letter(sent, 5).splitlines()]
    shown = {name.strip(): value.strip() for name, value in lines}
    assert shown["message_id"] == "copy"
    assert shown["first message_id"] == "first"
    assert shown["reason"] == "status 410"
    assert "body" not in show_letter(sent, 5)
    assert show_letter(sent, 5, body=True).endswith("\nbody\n")


def test_what_a_message_says_cannot_steer_the_terminal() -> None:
    spiteful = DeadLetter(
        message_id="a",
        body="one\ntwo\x1b[2J",
        sent_at=0,
        receive_count=1,
        attributes={ATTRIBUTE_REASON: "status\n422"},
    )
    assert list_letters([spiteful], 0, bodies=True).count("\n") == 2
    assert "\x1b" not in list_letters([spiteful], 0, bodies=True)

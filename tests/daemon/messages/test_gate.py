"""The gate: what closes it, what opens it, and how wide."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd.messages.gate import (
    DISTINCT_MESSAGES,
    LONGEST_PROBE_SECONDS,
    PROBES_TO_OPEN,
    TRUST_SECONDS,
    WIDEN_SECONDS,
    Gate,
    Probe,
)


def opened(connections: int = 50) -> Gate:
    gate = Gate(connections)
    while gate.probed(alive=True, now=0.0) is not None:
        pass
    return gate


def test_it_starts_closed_and_opens_after_probes_that_succeed_in_a_row() -> None:
    gate = Gate(50)
    assert not gate.is_open
    for _ in range(PROBES_TO_OPEN - 1):
        assert gate.probed(alive=True, now=0.0) is not None
    assert gate.probed(alive=False, now=0.0) is not None  # all over again
    for _ in range(PROBES_TO_OPEN - 1):
        assert gate.probed(alive=True, now=0.0) is not None
        assert not gate.is_open
    assert gate.probed(alive=True, now=0.0) is None
    assert gate.is_open


def test_it_opens_narrow_and_doubles_with_every_answer() -> None:
    gate = opened(connections=10)
    limits = []
    for _ in range(6):
        limits.append(gate.limit)
        gate.answered()
    assert limits == [1, 2, 4, 8, 10, 10]


def test_pauses_between_failing_probes_double_up_to_a_limit() -> None:
    gate = Gate(1)
    pauses = [gate.probed(alive=False, now=0.0) for _ in range(7)]
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_refused_connection_closes_it_at_once() -> None:
    gate = opened()
    assert gate.application_down("a", 0.0, certain=True)
    assert (gate.is_open, gate.limit, gate.probe) == (False, 1, Probe.LENIENT_GET)


def test_a_proxys_50x_closes_it_only_from_distinct_messages() -> None:
    gate = opened()
    assert not any(gate.application_down("poison", 0.0, certain=False) for _ in range(100))
    for n in range(DISTINCT_MESSAGES - 2):
        assert not gate.application_down(f"m{n}", 0.0, certain=False)
    assert gate.application_down("last", 0.0, certain=False)
    assert gate.probe is Probe.ANSWER  # the proxy's port proves nothing


def test_after_an_answer_to_a_get_messages_alone_do_not_close_it_for_a_minute() -> None:
    gate = opened()
    for n in range(DISTINCT_MESSAGES):
        gate.application_down(f"m{n}", 0.0, certain=False)
    while gate.probed(alive=True, now=1.0) is not None:
        pass
    # then messages are suspicious, and no more
    for n in range(100):
        assert not gate.application_down(f"n{n}", 1.0 + TRUST_SECONDS * n / 100, certain=False)
    assert gate.is_suspicious
    assert gate.application_down("m", 1.0 + TRUST_SECONDS, certain=False)


def test_an_answer_to_a_get_proves_nothing_about_a_message_that_failed_later() -> None:
    gate = opened()
    gate.unproven.update({"before", "after"})
    gate.suspicion_probed(alive=True, unproven={"before"})
    assert gate.unproven == {"after"}


def test_several_suspicious_messages_ask_for_an_answer() -> None:
    gate = opened()
    for n in range(DISTINCT_MESSAGES):
        gate.application_down(f"m{n}", 0.0, certain=False)
    while gate.probed(alive=True, now=1.0) is not None:
        pass
    gate.application_down("a", 1.0, certain=False)
    asked = [gate.suspicion_probe]
    for n in range(DISTINCT_MESSAGES):
        gate.application_down(f"n{n}", 1.0, certain=False)
    asked.append(gate.suspicion_probe)
    assert asked == [Probe.LENIENT_GET, Probe.ANSWER]
    gate.suspicion_probed(alive=False, unproven=set())
    assert gate.probe is Probe.ANSWER  # silence opens it no more than it kept it open


@pytest.mark.parametrize("how", ["a refused connection", "a failed probe"])
def test_an_answer_to_a_get_is_trusted_only_until_there_is_proof(how: str) -> None:
    gate = opened()
    for n in range(DISTINCT_MESSAGES):
        gate.application_down(f"m{n}", 0.0, certain=False)
    while gate.probed(alive=True, now=1.0) is not None:
        pass
    if how == "a refused connection":
        assert gate.application_down("a", 2.0, certain=True)
    else:
        gate.application_down("a", 2.0, certain=False)
        assert gate.suspicion_probed(alive=False, unproven=set())
    while gate.probed(alive=True, now=3.0) is not None:
        pass
    closed = [gate.application_down(f"n{n}", 3.0, certain=False) for n in range(DISTINCT_MESSAGES)]
    assert closed == [False, False, True]


def test_one_message_that_met_a_proxy_alone_closes_it_when_a_probe_fails_too() -> None:
    gate = opened()
    assert not gate.suspicion_probed(alive=False, unproven=set())  # it was not suspicious
    assert not gate.application_down("a", 0.0, certain=False)
    assert not gate.suspicion_probed(alive=True, unproven=set(gate.unproven))
    assert (gate.is_suspicious, gate.is_open) == (True, True)
    assert gate.suspicion_probed(alive=False, unproven=set())
    assert (gate.is_open, gate.limit, gate.probe) == (False, 1, Probe.LENIENT_GET)
    assert not gate.suspicion_probed(alive=False, unproven=set())  # closed is closed


def test_an_answer_in_between_clears_the_suspicion() -> None:
    gate = opened()
    for n in range(20):
        assert not gate.application_down(f"m{n}", 0.0, certain=False)
        gate.answered()
        assert not gate.is_suspicious
    assert gate.is_open


def test_a_closed_gate_is_not_closed_again() -> None:
    gate = opened()
    assert gate.application_down("a", 0.0, certain=True)
    assert not gate.application_down("b", 0.0, certain=True)


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("answered"), st.none()),
        st.tuples(st.just("certain"), st.sampled_from("abcd")),
        st.tuples(st.just("suspect"), st.sampled_from("abcd")),
        st.tuples(st.just("probe"), st.booleans()),
    ),
    max_size=60,
)


@given(connections=st.integers(1, 100), events=EVENTS)
def test_the_limit_stays_within_the_connections_and_only_probes_open(
    connections: int, events: list[tuple[str, object]]
) -> None:
    gate = Gate(connections)
    for kind, value in events:
        before = gate.is_open
        if kind == "answered":
            gate.answered()
        elif kind == "probe":
            if not before:
                pause = gate.probed(bool(value), now=0.0)
                assert (pause is None) == gate.is_open
                assert pause is None or 0 < pause <= LONGEST_PROBE_SECONDS
        else:
            closed = gate.application_down(str(value), 0.0, certain=kind == "certain")
            assert closed == (before and not gate.is_open)
        assert 1 <= gate.limit <= connections
        if gate.is_open and not before:
            assert (kind, value, gate.limit) == ("probe", True, 1)


@pytest.mark.parametrize("connections", [1, 2])
def test_few_connections_are_enough_for_it_to_work(connections: int) -> None:
    gate = opened(connections)
    gate.answered()
    assert gate.limit == connections


@pytest.mark.parametrize("connections", [1, 2, 7, 50, 64, 65, 100])
def test_an_open_gate_is_full_within_ten_seconds_without_an_answer(connections: int) -> None:
    gate = opened(connections)
    seconds = WIDEN_SECONDS
    while not gate.widen():
        seconds += WIDEN_SECONDS
    assert (gate.limit, gate.is_open) == (connections, True)
    assert seconds <= 10


def test_a_gate_does_not_widen_while_it_is_closed_or_unproven() -> None:
    gate = opened()
    gate.application_down("a", 0.0, certain=False)
    gate.unproven.add("a")
    assert not gate.widen()
    assert gate.limit == 1
    gate.suspicion_probed(alive=True, unproven=set(gate.unproven))
    assert gate.limit == 2
    assert not gate.widen()
    assert gate.limit == 4
    gate.application_down("b", 0.0, certain=True)
    assert gate.widen()
    assert (gate.limit, gate.is_open) == (1, False)

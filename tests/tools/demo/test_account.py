"""The account: every message sent is somewhere, exactly once, or the demo says what is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.demo.account import Witnessed, settle_account

PLACES = ("answered", "dead_lettered", "waiting", "expired")


@st.composite
def accounted(draw: st.DrawFn) -> Witnessed:
    """Messages sent, each in exactly one place, seen in any order."""
    sent = [f"id-{number}" for number in range(draw(st.integers(0, 60)))]
    where = [draw(st.sampled_from(PLACES)) for _ in sent]
    places = {
        place: draw(st.permutations([m for m, at in zip(sent, where, strict=True) if at == place]))
        for place in PLACES
    }
    proxied = draw(st.booleans())
    return Witnessed(
        sent=draw(st.permutations(sent)),
        answered=places["answered"],
        dead_lettered=set(places["dead_lettered"]),
        waiting=set(places["waiting"]),
        expired=set(places["expired"]),
        proxy_answered=draw(st.permutations(places["answered"])) if proxied else None,
    )


@given(accounted())
def test_messages_that_are_each_in_one_place_balance(seen: Witnessed) -> None:
    account = settle_account(seen)
    assert account.balances
    assert account.dispatched_twice == ()
    assert account.sent == len(seen.sent)
    assert (account.answered, account.dead_lettered) == (
        len(seen.answered),
        len(seen.dead_lettered),
    )
    assert (account.waiting, account.expired) == (len(seen.waiting), len(seen.expired))
    assert account.sent == sum(getattr(account, place) for place in PLACES)


@given(accounted(), st.data())
def test_a_message_that_is_nowhere_is_named_as_lost(seen: Witnessed, data: st.DataObject) -> None:
    account = settle_account(replace(seen, sent=[*seen.sent, "the-lost-one"]))
    assert not account.balances
    assert account.problems == ("1 message sent and found nowhere: lost (the-lost-one)",)


@given(accounted(), st.sampled_from(PLACES))
def test_a_message_that_was_not_sent_does_not_balance(seen: Witnessed, place: str) -> None:
    account = settle_account(
        replace(seen, **{place: [*getattr(seen, place), "stray"]}, proxy_answered=None)
    )
    assert account.problems == ("1 message found that were not sent (stray)",)
    assert account.sent == len(seen.sent)


@given(accounted(), st.sampled_from(PLACES), st.sampled_from(PLACES))
def test_a_message_in_two_places_does_not_balance(
    seen: Witnessed, one_place: str, other_place: str
) -> None:
    if one_place == other_place:
        return
    seen = replace(
        seen,
        sent=[*seen.sent, "both"],
        **{place: [*getattr(seen, place), "both"] for place in (one_place, other_place)},
    )
    account = settle_account(replace(seen, proxy_answered=None))
    assert len(account.problems) == 1
    assert " and " in account.problems[0]


@given(accounted())
def test_a_delete_without_an_answer_that_the_proxy_saw_does_not_balance(seen: Witnessed) -> None:
    seen = replace(
        seen,
        sent=[*seen.sent, "unseen"],
        answered=[*seen.answered, "unseen"],
        proxy_answered=list(seen.answered),
    )
    assert settle_account(seen).problems == (
        "1 message deleted though the proxy saw no answer 200 (unseen)",
    )


@pytest.mark.parametrize("proxied", [True, False])
def test_a_message_answered_200_twice_is_reported_and_still_balances(proxied: bool) -> None:
    twice = ["a", "b", "a"]
    account = settle_account(
        Witnessed(
            sent=["a", "b"],
            answered=["a", "b"] if proxied else twice,
            proxy_answered=twice if proxied else None,
        )
    )
    assert account.balances
    assert account.dispatched_twice == ("a",)


def test_many_lost_messages_are_counted_and_a_few_are_named() -> None:
    account = settle_account(Witnessed(sent=[f"{n:02}" for n in range(50)]))
    assert account.problems == ("50 messages sent and found nowhere: lost (00, 01, 02, ...)",)

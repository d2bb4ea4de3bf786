from __future__ import annotations

from dataclasses import replace

import pytest

from worker_tier_bootstrap.beanstalk import Finding, Outcome, Place, refusals, sentences, warnings

LOST = Finding(
    outcome=Outcome.PASSED_OVER,
    message="n:a ('1') is passed over: there is none",
    namespace="n",
    option="a",
    reason="there is none",
    place=Place(3, 5, "n"),
    loses=True,
)


@pytest.mark.parametrize(
    ("finding", "text"),
    [
        (LOST, "n:a ('1') is passed over: there is none (line 3, column 5)"),
        (replace(LOST, hint="leave it out"), "; leave it out (line 3, column 5)"),
        (replace(LOST, place=Place(path="Settings[3]")), "there is none (Settings[3])"),
        (replace(LOST, namespace="ns", place=Place(path="['ns']")), "there is none"),
        (replace(LOST, place=Place()), "there is none"),
    ],
)
def test_a_finding_ends_with_its_hint_and_its_place(finding: Finding, text: str) -> None:
    assert str(finding).endswith(text)


def test_findings_of_one_reason_are_one_sentence_and_no_finding_is_lost() -> None:
    # given two of one reason, one of another namespace, and two that are no options
    other = replace(LOST, namespace="m", message="m:a ('1') is passed over: there is none")
    plain = Finding(outcome=Outcome.PASSED_OVER, message="`files` is passed over", loses=True)
    findings = [LOST, other, replace(LOST, option="b"), plain, replace(plain, message="`users`")]
    # when they become sentences
    found = sentences(findings)
    # then each is in one of them
    assert [text for _, text in found] == [
        "n (a, b) are passed over: there is none (line 3, column 5)",
        "m:a ('1') is passed over: there is none (line 3, column 5)",
        "`files` is passed over",
        "`users`",
    ]
    assert [finding.option for finding, _ in found] == ["a", "a", "", ""]


def test_a_refusal_and_what_is_passed_over_are_no_sentence_together() -> None:
    refused = replace(LOST, outcome=Outcome.REFUSED, loses=False)
    assert len(sentences([LOST, refused])) == 2
    both = sentences([refused, replace(refused, option="b")])
    assert both[0][1].startswith("n (a, b) cannot be honoured: there is none")


def test_refusals_and_warnings_are_apart_from_what_loses_nothing() -> None:
    quiet = replace(LOST, loses=False)
    refused = replace(LOST, outcome=Outcome.REFUSED)
    honoured = replace(LOST, outcome=Outcome.HONOURED, loses=False)
    findings = [LOST, quiet, refused, honoured]
    assert refusals(findings) == [refused]
    assert warnings(findings) == [LOST]

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from tests.bootstrap.beanstalk.settings_documents import DOCUMENTS, NOW, Document
from worker_tier_bootstrap.beanstalk import (
    DeploymentSettings,
    EnvironmentSettings,
    Finding,
    Outcome,
    read_settings,
    refusals,
    warnings,
)


def fields_that_differ(settings: EnvironmentSettings) -> dict[str, Any]:
    """The fields of typed settings that are not their defaults, without where they come from."""
    plain = EnvironmentSettings()
    values = {f.name: getattr(settings, f.name) for f in fields(settings) if f.name != "origins"}
    found = {name: value for name, value in values.items() if value != getattr(plain, name)}
    if isinstance(deployment := found.get("deployment"), DeploymentSettings):
        found["deployment"] = (
            deployment.policy,
            deployment.batch_size,
            deployment.batch_size_type,
        )
    return found


def compare(found: list[Finding], expected: tuple[str, ...]) -> None:
    texts = [str(finding) for finding in found]
    assert len(texts) == len(expected), "\n".join(texts)
    for text, words in zip(texts, expected, strict=True):
        assert words in text


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_a_document_is_read_and_nothing_of_it_is_silent(document: Document) -> None:
    reading = read_settings(document.text, decided=document.decided, now=NOW)
    compare(refusals(reading.findings), document.refused)
    compare(warnings(reading.findings), document.warned)
    assert fields_that_differ(reading.settings) == dict(document.settings)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_finding_of_a_text_has_its_line_and_every_refusal_a_hint(document: Document) -> None:
    for finding in read_settings(document.text, decided=document.decided, now=NOW).findings:
        if "environment properties take" not in finding.message:  # a sum of several lines
            assert finding.place.line is not None, finding
        if finding.outcome is Outcome.REFUSED:
            assert finding.hint or ";" in finding.message, finding


def test_there_are_enough_documents_and_each_has_its_name() -> None:
    names = [document.name for document in DOCUMENTS]
    assert len(set(names)) == len(names) >= 40

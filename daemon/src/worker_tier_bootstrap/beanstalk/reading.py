"""Elastic Beanstalk's option settings -> typed settings, and a finding for each option."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from worker_tier_bootstrap.beanstalk.documents import (
    Node,
    Table,
    UnreadableDocument,
    read_document,
    shown_name,
)
from worker_tier_bootstrap.beanstalk.findings import Finding, Outcome
from worker_tier_bootstrap.beanstalk.forms import Collected, collect, collect_option_settings
from worker_tier_bootstrap.beanstalk.functions import Resolver, Text
from worker_tier_bootstrap.beanstalk.namespaces import typed_settings
from worker_tier_bootstrap.beanstalk.reader import Reader
from worker_tier_bootstrap.beanstalk.settings import EnvironmentSettings


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Holds what was read.

    Args:
        settings: what the honoured options ask for.
        findings: one for each option that has a value, and for all else that the document holds, in
            the document's order.
    """

    settings: EnvironmentSettings
    findings: tuple[Finding, ...]


def read_settings(
    document: object, *, decided: Collection[str] = (), now: datetime | None = None
) -> Reading:
    """Read a settings document in any of its forms. What is wrong with it becomes a finding.

    Args:
        document: the text of a YAML or JSON document, or data.
        decided: names of the props that are given in code: options that they decide instead of are
            passed over. Also `PROCFILE` if the application's bundle has one, and `IMAGE` if the
            application is an image of a container.
        now: the time with which those of scheduled actions are compared; None stands for the
            clock's.
    """
    try:
        root = read_document(document)
    except UnreadableDocument as error:
        finding = Finding(
            outcome=Outcome.REFUSED, message=error.problem, hint=error.hint, place=error.place
        )
        return Reading(settings=EnvironmentSettings(), findings=(finding,))
    return _read(collect(root), decided, now)


@dataclass(frozen=True, slots=True)
class ConfigSettings:
    """Holds the option settings of one file of `.ebextensions`.

    Args:
        file: the file's path in the bundle.
        settings: the value of `option_settings`.
        mappings: the file's `Mappings`, or None.
    """

    file: str
    settings: Node
    mappings: Table | None


def read_config_files(files: Iterable[ConfigSettings], *, decided: Collection[str] = ()) -> Reading:
    """Read the option settings of several files in their order; the last one with an option wins.

    Args:
        decided: as in `read_settings`.
    """
    merged = Collected()
    for file in files:
        found = collect_option_settings(file.settings, file.mappings)
        merged.findings += [
            replace(finding, place=replace(finding.place, file=file.file))
            for finding in found.findings
        ]
        for setting in found.settings.values():
            merged.add(replace(setting, place=replace(setting.place, file=file.file)))
        merged.mappings = _joined(merged.mappings, file.mappings)
    return _read(merged, decided, None)


def _joined(first: Table | None, second: Table | None) -> Table | None:
    if first is None or second is None:
        return first or second
    return Table((*first.entries, *second.entries), first.place)


def _read(collected: Collected, decided: Collection[str], now: datetime | None) -> Reading:
    reader = Reader(
        _resolver(collected), frozenset(decided), list(collected.findings), now or datetime.now(UTC)
    )
    reader.add_all(collected)
    settings = typed_settings(reader)
    findings = [finding for finding in reader.findings if not _is_withdrawn(finding, reader)]
    findings += _defaults(reader.resolver)
    return Reading(settings=settings, findings=_in_order(findings))


def _is_withdrawn(finding: Finding, reader: Reader) -> bool:
    key = (finding.namespace, finding.option, finding.place)
    return finding.outcome is Outcome.HONOURED and key in reader.withdrawn


def _in_order(findings: list[Finding]) -> tuple[Finding, ...]:
    def position(finding: Finding) -> tuple[str, int, int]:
        return finding.place.file, finding.place.line or 0, finding.place.column or 0

    return tuple(sorted(findings, key=position))


def _resolver(collected: Collected) -> Resolver:
    """Return a resolver that reads other options of the same document, one step far."""
    alone = Resolver(mappings=collected.mappings, parameters=collected.parameters)

    def lookup(namespace: str, option: str) -> Text | None:
        found = collected.settings.get((namespace, option, None))
        return None if found is None else alone.text(found.value)

    return Resolver(
        mappings=collected.mappings,
        lookup=lookup,
        parameters=collected.parameters,
        defaults=alone.defaults,
    )


def _defaults(resolver: Resolver) -> list[Finding]:
    """Return a warning for each parameter of a template whose default stands for its value."""
    return [
        Finding(
            outcome=Outcome.PASSED_OVER,
            message=f"the template's parameter {shown_name(name)} has its default here",
            hint="if the stack was given another value, write that one in its place",
            place=place,
            loses=True,
        )
        for name, place in resolver.defaults.items()
    ]

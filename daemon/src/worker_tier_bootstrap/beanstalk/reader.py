"""Takes the options of a document one by one; each of them leaves a finding."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, TypeVar

from worker_tier_bootstrap.beanstalk import options, values
from worker_tier_bootstrap.beanstalk.documents import (
    TEXT_TOKEN,
    Items,
    Node,
    Scalar,
    Table,
    shown,
    shown_name,
)
from worker_tier_bootstrap.beanstalk.findings import Finding, Outcome, Place
from worker_tier_bootstrap.beanstalk.forms import Collected, Setting
from worker_tier_bootstrap.beanstalk.functions import (
    DynamicReference,
    Reference,
    Resolver,
    Text,
    Unresolved,
)
from worker_tier_bootstrap.beanstalk.options import DATABASE, IMAGE, PROCFILE, PROPERTIES, Option
from worker_tier_bootstrap.beanstalk.settings import Origin
from worker_tier_bootstrap.contract import ARN_HINT

T = TypeVar("T")
Key = tuple[str, str, str | None]
#: In the URL of a queue that Elastic Beanstalk made: it goes with the environment, a new one comes.
_OWN_QUEUE: Final = "-AWSEBWorkerQueue-"
#: Unknown names that get a suggestion; to look for one takes milliseconds.
_MAX_SUGGESTIONS: Final = 20
#: Most options of an unknown namespace that a message names.
_MOST_NAMES: Final = 20
_NUMBER: Final = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, kw_only=True)
class Given:
    """Is an option with the value that the document gives it.

    Args:
        unread: the kind of a value that cannot be resolved, or an empty text.
    """

    namespace: str
    option: str
    resource: str | None
    text: Text
    row: Option
    place: Place
    unread: str = ""

    @property
    def name(self) -> str:
        """Return the option's full name, with the scheduled action that it belongs to."""
        of = "" if self.resource is None else f" of {self.resource}"
        return f"{self.namespace}:{self.option}{of}"

    @property
    def shown(self) -> str:
        """Return the value for messages if its row says that it is public, without a query."""
        if not self.row.public:
            return "not shown"
        path, query, _ = str(self.text).partition("?")
        return self.unread or f"{path + (query and '?...')!r:.120}"

    @property
    def origin(self) -> Origin:
        """Return the option as the origin of a typed field."""
        return Origin(self.namespace, self.option, self.shown, self.place)

    def finding(
        self,
        outcome: Outcome,
        message: str,
        hint: str = "",
        *,
        reason: str = "",
        loses: bool = False,
    ) -> Finding:
        """Return a finding about this option."""
        return Finding(
            outcome=outcome,
            message=message,
            hint=hint,
            namespace=self.namespace,
            option=self.option,
            reason=reason,
            place=self.place,
            loses=loses,
        )


@dataclass
class Reader:
    """Holds the options that are not taken yet, and the findings about all others.

    Args:
        decided: props that are given in code, `PROCFILE` and `IMAGE`.
        now: the time, in which a scheduled action lies ahead or in the past.
        given: by namespace, option and, for scheduled actions, resource.
        read: the options that were taken and had usable values.
        withdrawn: honoured options, with their places, that were refused beside others later.
        origins: field of the typed settings -> the options that it was read from.
        unknown_names: how many names were not in the table so far.
    """

    resolver: Resolver
    decided: frozenset[str]
    findings: list[Finding]
    now: datetime
    given: dict[Key, Given] = field(default_factory=dict)
    read: dict[tuple[str, str], Given] = field(default_factory=dict)
    withdrawn: set[tuple[str, str, Place]] = field(default_factory=set)
    origins: dict[str, tuple[Origin, ...]] = field(default_factory=dict)
    unknown_names: int = 0

    def add_all(self, collected: Collected) -> None:
        """Add a document's entries; the table decides on those that are not to be honoured."""
        unknown: dict[str, list[Setting]] = {}
        for setting in collected.settings.values():
            if options.rows_of(setting.namespace) is not None:
                self._add(setting)
            elif setting.bare or not isinstance(setting.value, Scalar) or setting.value.value:
                unknown.setdefault(setting.namespace, []).append(setting)
        for namespace, settings in unknown.items():
            self._refuse_namespace(namespace, settings)
        self._pass_over_detached_database()
        for key, given in list(self.given.items()):
            if given.row.outcome is not Outcome.HONOURED:
                del self.given[key]
                self._by_table(given)

    # ---- what the readers of namespaces use

    def says(self, *props: str) -> bool:
        """Return whether code decides, so that a setting need not."""
        return not self.decided.isdisjoint(props)

    def keys(self, *namespaces: str) -> list[Key]:
        """Return the keys of all options of some namespaces that are not taken yet."""
        return [key for key in self.given if key[0] in namespaces]

    def peek(self, namespace: str, option: str) -> Given | None:
        """Return an option that is not taken yet, or None if it is not set."""
        return self.given.get((namespace, option, None))

    def take(
        self, field_name: str, namespace: str, option: str, read: Callable[[str], T]
    ) -> T | None:
        """Return the value of an honoured option, or None if it is not set or unusable."""
        given = self.given.pop((namespace, option, None), None)
        if given is None:
            return None
        try:
            value = read(str(given.text))
        except values.InvalidValue as error:
            if deciding := self._deciding(given.row):
                self.overrule(given, deciding)
                return None
            got = f", got {given.shown}" if given.row.public else " (its value is not shown)"
            message = f"{given.name} {error}{got}"
            self.findings.append(given.finding(Outcome.REFUSED, message, "correct it"))
            return None
        self.honour(field_name, given)
        self.read[namespace, option] = given
        return value

    def honour(self, field_name: str, given: Given) -> None:
        """Report an option as honoured, and note it as the origin of a field."""
        message = f"{given.name} ({given.shown}): {given.row.effect}"
        self.findings.append(given.finding(Outcome.HONOURED, message))
        self.origins[field_name] = (*self.origins.get(field_name, ()), given.origin)

    def refuse(self, given: Given, reason: str, hint: str = "") -> None:
        """Take an option, or one taken before, and report that it cannot be honoured."""
        self.given.pop((given.namespace, given.option, given.resource), None)
        self.withdrawn.add((given.namespace, given.option, given.place))
        message = f"{given.name} ({given.shown}) cannot be honoured: {reason}"
        self.findings.append(given.finding(Outcome.REFUSED, message, hint, reason=reason))

    def object_to(self, given: Given, problem: str, hint: str) -> None:
        """Report what is wrong with the value of an option, of those taken before or not."""
        self.given.pop((given.namespace, given.option, given.resource), None)
        self.withdrawn.add((given.namespace, given.option, given.place))
        message = f"{given.name} ({given.shown}) {problem}"
        self.findings.append(given.finding(Outcome.REFUSED, message, hint))

    def pass_over(self, given: Given, reason: str) -> None:
        """Take an option and report that nothing is lost without it."""
        self.given.pop((given.namespace, given.option, given.resource), None)
        message = f"{given.name} ({given.shown}) is passed over: {reason}"
        self.findings.append(given.finding(Outcome.PASSED_OVER, message))

    def not_taken(self, field_name: str, namespace: str, option: str, reason: str) -> None:
        """Report an option that was taken, and from which nothing comes, as passed over."""
        given = self.read.pop((namespace, option), None)
        if given is None:
            return
        rest = tuple(origin for origin in self.origins[field_name] if origin != given.origin)
        self.origins.pop(field_name)
        self.origins |= {field_name: rest} if rest else {}
        self.withdrawn.add((namespace, option, given.place))
        self.pass_over(given, reason)

    def overrule(self, given: Given, prop: str) -> None:
        """Take an option and report that a prop decides in its place, or a Procfile."""
        if prop in (PROCFILE, IMAGE):
            self.pass_over(given, f"the {prop} decides")
            return
        self.given.pop((given.namespace, given.option, given.resource), None)
        message = f"{prop}, given in code, wins over {given.name} ({given.shown})"
        self.findings.append(given.finding(Outcome.PASSED_OVER, message, loses=True))

    # ---- from entries to values

    def _add(self, setting: Setting) -> None:
        name = (setting.namespace, setting.option)
        row = options.row_of(*name) or self._unknown(*name)
        try:
            text = self.resolver.text(setting.value)
        except Unresolved as error:
            written = replace(
                _given(setting, row, Text((_as_written(setting.value),))),
                unread=shown(setting.value),
            )
            problem = f"{written.name} cannot be honoured: {error.reason}"
            secret = isinstance(error, DynamicReference) and given_to_application(setting)
            self._unread(written, problem, ARN_HINT if secret else error.hint)
            return
        if text is None or not text.parts:
            if setting.bare and options.row_of(*name) is None:
                self._refuse_bare(_given(setting, row, Text(())))
            return
        given = _given(setting, row, text)
        if isinstance(setting.value, Items) and not row.is_list:
            problem = f"{given.name} cannot be honoured: it is a list"
            self._unread(given, problem, "write one text")
        elif _is_known(text) or _may_refer(given):
            self.given[setting.key] = given
        else:
            reason = "it is known only when the stack is deployed"
            self._unread(given, f"{given.name} ({given.shown}) cannot be honoured: {reason}")

    def _refuse_bare(self, given: Given) -> None:
        """Refuse a name without a value that is no option's, for it may hold its value."""
        message = f"{given.name} has no value: {given.row.reason}"
        self.findings.append(given.finding(Outcome.REFUSED, message, given.row.hint))

    def _unread(self, given: Given, message: str, hint: str = "") -> None:
        """Report a value that is not known here, unless it does not matter."""
        if deciding := self._deciding(given.row):
            self.overrule(given, deciding)
        elif given.row.outcome is Outcome.PASSED_OVER:
            self._by_table(given)
        elif given.row.outcome is Outcome.REFUSED:
            self.refuse(given, given.row.reason, given.row.hint)
        else:
            hint = hint or _value_hint(given)
            self.findings.append(given.finding(Outcome.REFUSED, message, hint))

    def _unknown(self, namespace: str, option: str) -> Option:
        self.unknown_names += 1
        suggest = self.unknown_names <= _MAX_SUGGESTIONS
        return options.unknown(namespace, option, suggest=suggest)

    # ---- the table's outcomes

    def _refuse_namespace(self, namespace: str, settings: list[Setting]) -> None:
        shown_options = [
            "a name without a value" if s.bare else shown_name(s.option) for s in settings
        ]
        names = ", ".join(shown_options[:_MOST_NAMES])
        row = self._unknown(namespace, "")
        self.findings.append(
            Finding(
                outcome=Outcome.REFUSED,
                message=f"{shown_name(namespace)} ({names:.200}) {row.reason}",
                hint=row.hint,
                namespace=namespace,
                option=shown_options[0],
                place=settings[0].place,
            )
        )

    def _pass_over_detached_database(self) -> None:
        """Pass over what describes a database if the environment has none."""
        coupled = self.peek(DATABASE, "HasCoupledDatabase")
        if coupled is not None and str(coupled.text).lower() == "false":
            for key in self.keys(DATABASE):
                self.pass_over(self.given[key], "the environment has no database")

    def _by_table(self, given: Given) -> None:
        row = given.row
        deciding = self._deciding(row)
        if _is_own_queue(given) or row.loses_nothing(str(given.text)):
            self._lossless(given, "" if deciding else row.notice)
        elif deciding:
            self.overrule(given, deciding)
        elif row.outcome is Outcome.PASSED_OVER:
            message = f"{given.name} ({given.shown}) is passed over: {row.reason}"
            self.findings.append(
                given.finding(row.outcome, message, row.hint, reason=row.reason, loses=True)
            )
        else:
            self.refuse(given, row.reason, row.hint)

    def _deciding(self, row: Option) -> str:
        """Return what decides in the place of an option, or an empty text."""
        return next((prop for prop in row.decided_by if prop in self.decided), "")

    def _lossless(self, given: Given, notice: str) -> None:
        message = f"{given.name}: {notice}"
        if not notice:
            message = f"{given.name} ({given.shown}) is passed over: nothing is lost without it"
        self.findings.append(given.finding(Outcome.PASSED_OVER, message, loses=bool(notice)))


def _given(setting: Setting, row: Option, text: Text) -> Given:
    return Given(
        namespace=setting.namespace,
        option=setting.option,
        resource=setting.key[2],
        text=text,
        row=row,
        place=setting.place,
    )


def given_to_application(setting: Setting) -> bool:
    """Return whether a setting is an environment property that the application reads."""
    return setting.namespace == PROPERTIES and setting.option != "PORT"


def _value_hint(given: Given) -> str:
    """Return what to do about a value that is not known here."""
    hint = "write the value that the environment has"
    if given.namespace != PROPERTIES:
        props = [name for name in given.row.decided_by if name.isidentifier()]
        best = given.row.becomes if given.row.becomes in props else "".join(props[:1])
        return f"{hint}, or pass {best} in code" if props else hint
    in_code = f"WorkerApplication.from_asset(..., environment={{{given.option!r}: ...}})"
    return f"{hint}, or leave it out and pass it in code, as in {in_code}"


def _is_known(text: Text) -> bool:
    """Return whether a text is known before the stack is deployed."""
    return text.literal is not None and not TEXT_TOKEN.search(text.literal)


def _may_refer(given: Given) -> bool:
    """Return whether a value may hold references, which are filled into properties only."""
    if given.namespace == PROPERTIES:
        return given.option != "PORT"
    return _is_own_queue(given)


def _is_own_queue(given: Given) -> bool:
    """Return whether an option names the queue that Elastic Beanstalk made."""
    if given.option != "WorkerQueueURL":
        return False
    return given.text == Text((Reference.QUEUE_URL,)) or _OWN_QUEUE in str(given.text)


def _as_written(node: Node) -> str:
    """Return a value in one text, for options whose value does not matter."""
    return json.dumps(_data(node), separators=(",", ":"))


def _data(node: Node) -> Any:
    match node:
        case Scalar(value=value):
            return int(value) if value is not None and _NUMBER.fullmatch(value) else value
        case Items(items=items):
            return [_data(item) for item in items]
        case Table(entries=entries):
            return {entry.key: _data(entry.value) for entry in entries}
        case _:
            return None

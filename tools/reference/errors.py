"""docs/reference/errors.md: exceptions, hints on AWS's errors, warnings of `cdk synth`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from sqsd.aws import hints
from sqsd.contract import InvalidSettings, SqsdOptions
from tools.reference.constants import ROOT, Undescribed, read_module

ERRORS_PAGE: Final = ROOT / "docs" / "reference" / "errors.md"
_WARNINGS: Final = ROOT / "worker_tier" / "warnings.py"
#: The exceptions that users meet, with what raises them.
_EXCEPTIONS: Final = (
    ("worker_tier.errors.InvalidProps", "the constructs, at `cdk synth`"),
    ("worker_tier.errors.InvalidApplication", "the constructs, at `cdk synth`"),
    ("sqsd.contract.options.InvalidSettings", "`sqsd run`, `sqsd check`, the constructs"),
    ("sqsd.cron.cron_yaml.InvalidCronFile", "`sqsd check`, the constructs"),
    (
        "worker_tier_bootstrap.beanstalk.documents.UnreadableDocument",
        "`WorkerTier.from_option_settings`",
    ),
    ("worker_tier_bootstrap.errors.PackagingError", "`cdk synth`, when the bundle is built"),
    ("sqsd.base.errors.AwsError", "in `reason` of log events, and commands of operators"),
    ("sqsd.base.errors.AwsUnreachable", "in `reason` of log events, and commands of operators"),
    ("sqsd.base.errors.NoCredentials", "in `reason` of log events, and commands of operators"),
    ("worker_tier_bootstrap.errors.BootstrapError", "the boot of an instance, in its log"),
    ("sqsd.testing.tier.NotIdle", "`FakeTier` in your tests"),
)
_QUEUE_URL: Final = "https://sqs.eu-west-1.amazonaws.com/123456789012/work"
_TABLE: Final = "leader"
#: Codes of AWS with the hint that the daemon adds, for one call each.
_QUEUE_CODES: Final = (
    ("ReceiveMessage", "QueueDoesNotExist"),
    ("ReceiveMessage", "InvalidAddress"),
    ("ReceiveMessage", "AccessDenied"),
    ("SendMessage", "AccessDenied"),
    ("ReceiveMessage", "KMS.AccessDeniedException"),
    ("ReceiveMessage", "InvalidClientTokenId"),
    ("ReceiveMessage", "ExpiredToken"),
    ("ReceiveMessage", "SignatureDoesNotMatch"),
)
_TABLE_CODES: Final = ("ResourceNotFoundException", "AccessDeniedException")
#: Warnings whose texts are made elsewhere.
_OTHER_WARNINGS: Final = {
    "queue-place-NUMBER": "the queue is in a known account or region, and the stack is for any;"
    " the text says what follows from that",
    "source-bundle-FINDING": "a part of the source bundle has no effect, or another one than it"
    " seems; see [source bundles](../guide/source-bundles.md)",
}
_OF_PERIODIC_TASKS: Final = (
    "what may not be meant in `cron.yaml`, such as a `url` without its leading slash"
)
_INTRODUCTION: Final = """# Errors and warnings

An error says what happened, the value, what is allowed and what to do, and lists every problem at
once. (Generated from the code by `make reference`.)

```text
{}
```

The reasons of a boot that failed are in [the instance](../guide/instance.md#where-to-look), and the
log's events in [log events](events.md).

## Exceptions

| exception | raised by | meaning |
|---|---|---|"""
_AWS: Final = f"""
## AWS's errors

A call that AWS refuses is logged with what to do about it. Here the queue is
`{_QUEUE_URL}` and the table `{_TABLE}`.
An error that passes by itself, such as throttling, has no hint and is tried again.

| call | error | hint |
|---|---|---|"""
_SYNTH: Final = """
## Warnings of `cdk synth`

What is built as asked, but may not be what was meant. `worker-tier:` and the id acknowledge one:
`Annotations.of(tier).acknowledge_warning("worker-tier:role")`. `from_option_settings` warns besides
of [settings that have no effect](beanstalk-options.md).

| id | warning |
|---|---|"""


def errors_page() -> str:
    """Return the page.

    Raises:
        Undescribed: an exception has no docstring.
    """
    return "\n".join(
        (
            _INTRODUCTION.format(_example()),
            *_exceptions(),
            _AWS,
            *_aws_errors(),
            _SYNTH,
            *_warnings(_WARNINGS),
            "",
        )
    )


def _example() -> str:
    try:
        SqsdOptions(http_port=0, heartbeat=False, inactivity_timeout=600)
    except InvalidSettings as error:
        return "\n".join(f"{error.source}: {problem}" for problem in error.problems)
    raise AssertionError("these options were refused when this was written")


def _exceptions() -> Iterator[str]:
    for path, raised_by in _EXCEPTIONS:
        module, _, name = path.rpartition(".")
        docstring = read_module(module)[name].docstring
        if docstring is None:
            raise Undescribed(f"{path} has no docstring; write one")
        summary = " ".join(docstring.value.partition("\n\n")[0].split())
        yield f"| `{path}` | {raised_by} | {summary} |"


def _aws_errors() -> Iterator[str]:
    for action, code in _QUEUE_CODES:
        hint = hints.hint_for_queue(action, code, _QUEUE_URL)
        yield f"| `{action}` | `{code}` | {hint} |"
    for code in _TABLE_CODES:
        hint = hints.hint_for_leader_table(code, _TABLE)
        yield f"| `GetItem` of DynamoDB | `{code}` | {hint} |"


def _warnings(path: Path) -> Iterator[str]:
    """Return a row for each pair of id and text that a function of the module yields."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    constants = {
        str(one.target.id): str(ast.literal_eval(one.value))
        for one in tree.body
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and one.value
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple):
            name, text = node.value.elts
            shown = _words(name, constants)
            computed = isinstance(text, ast.Name)
            if computed and shown not in _OTHER_WARNINGS:
                raise Undescribed(f"add what {shown} warns of to {__name__}._OTHER_WARNINGS")
            meaning = _OTHER_WARNINGS[shown] if computed else _words(text, constants)
            yield f"| `{shown}` | {meaning} |"
    yield f"| `periodic-tasks-NUMBER` | {_OF_PERIODIC_TASKS} |"


def _words(node: ast.expr, constants: Mapping[str, str]) -> str:
    """Return a text; what is filled in at synth is the name of the variable, in capitals."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_words(part, constants) for part in parts)
        case ast.FormattedValue(value=value):
            names = [one.id for one in ast.walk(value) if isinstance(one, ast.Name)]
            return constants.get(names[0], names[0].upper()) if names else "..."
        case _:
            raise Undescribed(f"a warning's text is neither a text nor a name: {ast.dump(node)}")

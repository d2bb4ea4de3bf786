"""The real CDK command line against the embedded AWS: synth, bootstrap, deploy."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Final

from tools.local_aws.errors import LocalAwsError, tail
from tools.local_aws.instance import REPOSITORY, LocalAws
from tools.local_aws.processes import Child

CDK: Final = REPOSITORY / "node_modules" / ".bin" / "cdk"
#: A first synth unpacks the CDK's library, a minute on a slow disk.
_STEP_SECONDS: Final = 300.0
#: Of the cloud assembly's format; the command line reads all versions up to its own.
_ASSEMBLY_VERSION: Final = "36.0.0"

#: Takes one line for the terminal.
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployed stack, and its outputs by the names the template gives them."""

    stack_name: str
    outputs: Mapping[str, str]


def deploy(
    aws: LocalAws,
    *,
    directory: Path,
    context: Mapping[str, str] | None = None,
    app: str | None = None,
    say: Say = lambda line: None,
) -> Deployment:
    """Synthesize an app once, then bootstrap the account and deploy the app's only stack.

    Args:
        directory: for this run only: gets the cloud assembly, outputs and logs.
        context: CDK context values, as `cdk -c key=value`.
        app: the command that synthesizes; None takes cdk.json's.
        say: called with what was done and how long it took.

    Raises:
        LocalAwsError: a step failed; with the end of the command line's output.
    """
    directory.mkdir(parents=True, exist_ok=True)
    assembly = directory / "cdk.out"
    # Neither waits for the other: side by side they take seconds less.
    started = time.monotonic()
    synth = _Step("synth", _synth_arguments(assembly, context or {}, app), aws, directory)
    bootstrap = _Step("bootstrap", _bootstrap_arguments(aws, directory), aws, directory)
    try:
        # The synth first: a mistake in the app is the likelier failure.
        synth.finish()
        say(f"cdk synth: the template is in {assembly} ({time.monotonic() - started:.1f} s)")
        bootstrap.finish()
        say(f"cdk bootstrap: done ({time.monotonic() - started:.1f} s, beside the synth)")
    finally:
        synth.stop()
        bootstrap.stop()
    return _deploy_assembly(aws, assembly, directory, say)


def cdk_environment(aws: LocalAws) -> dict[str, str]:
    """The environment in which the command line sees the embedded account and says little."""
    return aws.process_environment() | {"NO_COLOR": "1", "FORCE_COLOR": "0"}


def _synth_arguments(assembly: Path, context: Mapping[str, str], app: str | None) -> list[str]:
    pairs = [part for item in sorted(context.items()) for part in ("-c", "=".join(item))]
    return ["synth", "--quiet", "--output", str(assembly), *(["--app", app] if app else []), *pairs]


def _bootstrap_arguments(aws: LocalAws, directory: Path) -> list[str]:
    environment = f"aws://{aws.account}/{aws.region}"
    # The bootstrap wants an app with a stack even when it is given the environment. With a
    # stand-in, which is never deployed, it does not run ours a second time.
    stand_in = directory / "cdk.out-bootstrap"
    stand_in.mkdir(exist_ok=True)
    stack = {
        "type": "aws:cloudformation:stack",
        "environment": environment,
        "properties": {"templateFile": "template.json"},
    }
    manifest = {"version": _ASSEMBLY_VERSION, "artifacts": {"StandIn": stack}}
    (stand_in / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (stand_in / "template.json").write_text('{"Resources": {}}', encoding="utf-8")
    return ["bootstrap", environment, "--app", str(stand_in)]


def _deploy_assembly(aws: LocalAws, assembly: Path, directory: Path, say: Say) -> Deployment:
    started = time.monotonic()
    outputs = directory / "outputs.json"
    arguments = ["deploy", "--all", "--app", str(assembly), "--require-approval", "never"]
    step = _Step("deploy", [*arguments, "--outputs-file", str(outputs)], aws, directory)
    try:
        step.finish()
    finally:
        step.stop()
    deployment = _read_outputs(outputs)
    say(f"cdk deploy: {deployment.stack_name} is up ({time.monotonic() - started:.1f} s)")
    return deployment


def _read_outputs(path: Path) -> Deployment:
    stacks = json.loads(path.read_text(encoding="utf-8"))
    if len(stacks) != 1:
        raise LocalAwsError(
            f"the app must have exactly one stack with outputs to be run here, it has"
            f" {len(stacks)}: {', '.join(sorted(stacks)) or 'none'}"
        )
    ((name, outputs),) = stacks.items()
    return Deployment(stack_name=name, outputs=outputs)


class _Step:
    """One run of the CDK's command line, with its log."""

    def __init__(self, name: str, arguments: Sequence[str], aws: LocalAws, directory: Path) -> None:
        _need_command_line()
        self._name = name
        self._child = Child(
            [CDK, *arguments],
            env=cdk_environment(aws),
            log=directory / f"cdk-{name}.log",
            cwd=REPOSITORY,
        )

    def finish(self) -> None:
        """Wait for the end; an error unless it succeeded."""
        log = self._child.log
        try:
            code = self._child.wait(_STEP_SECONDS)
        except TimeoutExpired:
            raise LocalAwsError(
                f"cdk {self._name} did not end within {_STEP_SECONDS:.0f} s; the end of what it"
                f" said ({log}):\n{tail(log)}"
            ) from None
        if code != 0:
            raise LocalAwsError(
                f"cdk {self._name} failed with exit code {code}; the end of what it said"
                f" ({log}):\n{tail(log)}"
            )

    def stop(self) -> None:
        """End it if it still runs."""
        self._child.stop()


def _need_command_line() -> None:
    if shutil.which("node") is None:
        raise LocalAwsError(
            "Node.js is not on PATH, and the CDK needs it; install Node.js 22 or later"
            " (https://nodejs.org, or your system's package `nodejs`)"
        )
    if not CDK.exists():
        raise LocalAwsError(
            f"the CDK's command line is not installed: there is no {CDK}; run `make node_modules`"
        )

"""User data of a fleet: one script, and the commands that anyone adds, which run before it ends.

The L2 classes of the CDK add commands at the end, where they would run after the bootstrap has
signalled that the instance dispatches: what fails there, nothing would notice. So all ways to add
commands (`WorkerTier.add_user_data`, `launch_template.user_data.add_commands`,
`auto_scaling_group.add_user_data`) put them in the same place: before the bootstrap takes over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import jsii
from aws_cdk import Resource
from aws_cdk import aws_ec2 as ec2
from aws_cdk.interfaces import aws_s3 as s3

from worker_tier.errors import InvalidProps
from worker_tier.fleet.token_size import VALUE_CHARACTERS, base64_bytes, size_of
from worker_tier.ranges import surrogate_problem
from worker_tier_bootstrap.user_data import (
    RESERVED_FOR_TOKENS_BYTES,
    USER_DATA_LIMIT_BYTES,
    size_problem,
)

#: First line of every script that instances boot by.
SHEBANG: Final = "#!/bin/bash"
#: The line of the bootstrap's script after which the engine takes over and starts the daemon.
_HAND_OVER: Final = "begin 'hand over'\n"
#: What signals to CloudFormation: its program, which helpers of the CDK add calls of, and its API
#: as the AWS CLI, HTTP and SDKs write it. A program that signals by itself is not found.
_SIGNALS: Final = ("cfn-signal", "signal-resource", "SignalResource", "signal_resource")
_ONE_SIGNAL: Final = (
    "an instance signals once, when the daemon receives from the queue: a signal of another"
    " program would end a deployment's wait before that; leave it out, and let what must not fail"
    " be a command of add_user_data, where a failure fails the boot"
)


class BootScript(ec2.UserData):
    """The script that instances boot by, as it stands when the template is written.

    Args:
        path: the fleet's path in the tree, for errors.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        #: The script without what was added: the bootstrap's, or that of `set_user_data`.
        self.script = SHEBANG
        #: Texts with values that only the deployment knows, each of which CloudFormation puts into
        #: the script as Base64, where a token stands for it.
        self.deferred: Sequence[str] = ()
        self._commands: list[str] = []

    @jsii.member(jsii_name="addCommands")
    def add_commands(self, *commands: str) -> None:
        """Run commands on each new instance, as root, before the daemon is installed.

        Raises:
            InvalidProps: a command signals to CloudFormation, which the bootstrap does, or has a
                character that UTF-8 cannot have.
        """
        if found := list(_command_problems(commands)):
            raise InvalidProps(self._path, found)
        self._commands.extend(commands)

    def remove_last(self, number: int) -> None:
        """Remove the last commands again, for they were refused."""
        del self._commands[len(self._commands) - number :]

    @jsii.member(jsii_name="addOnExitCommands")
    def add_on_exit_commands(self, *commands: str) -> None:
        """Refuse: the script's end is the bootstrap's, which restarts and retries.

        Raises:
            InvalidProps: always.
        """
        raise self._refused(
            f"add_on_exit_commands({', '.join(map(repr, commands))}) cannot be had, because the"
            " script ends when the bootstrap takes over, not when the instance is set up; use"
            " add_commands"
        )

    @jsii.member(jsii_name="addSignalOnExitCommand")
    def add_signal_on_exit_command(self, resource: Resource) -> None:
        """Refuse: the bootstrap signals.

        Raises:
            InvalidProps: always.
        """
        raise self._refused(f"add_signal_on_exit_command cannot be had: {_ONE_SIGNAL}")

    @jsii.member(jsii_name="addS3DownloadCommand")
    def add_s3_download_command(
        self,
        *,
        bucket: s3.IBucketRef,
        bucket_key: str,
        local_file: str | None = None,
        region: str | None = None,
    ) -> str:
        """Fetch a file from S3, by the AWS CLI, which Debian's and Ubuntu's images do not have."""
        linux = ec2.UserData.for_linux()
        path = linux.add_s3_download_command(
            bucket=bucket, bucket_key=bucket_key, local_file=local_file, region=region
        )
        self._add_lines_of(linux)
        return path

    @jsii.member(jsii_name="addExecuteFileCommand")
    def add_execute_file_command(self, *, file_path: str, arguments: str | None = None) -> None:
        """Run a program that is on the instance by then."""
        linux = ec2.UserData.for_linux()
        linux.add_execute_file_command(file_path=file_path, arguments=arguments)
        self._add_lines_of(linux)

    @jsii.member(jsii_name="render")
    def render(self) -> str:
        """Return the whole script."""
        return with_commands(self.script, self._commands)

    def size_problem(self) -> str | None:
        """Return why EC2 would refuse the script, or None if it fits."""
        known = sum(base64_bytes(size_of(text).known) for text in self.deferred)
        return size_problem(self.render(), deferred_bytes=known)

    def size_warning(self) -> str | None:
        """Return why EC2 may refuse the script, by the values of the deployment in it, or None."""
        sizes = [size_of(text) for text in self.deferred]
        added = size_of("".join(self._commands)).values
        number = len(added) + sum(len(size.values) for size in sizes)
        most = len(self.render().encode()) + RESERVED_FOR_TOKENS_BYTES + sum(added)
        most += sum(base64_bytes(size.expected) for size in sizes)
        if most <= USER_DATA_LIMIT_BYTES:
            return None
        return (
            f"user data has {number} values that only the deployment knows, and may take {most}"
            f" bytes with {VALUE_CHARACTERS} bytes for each, and EC2 takes {USER_DATA_LIMIT_BYTES};"
            " a deployment with longer values fails; let the application read values from"
            " Parameter Store, or join them to one"
        )

    def _add_lines_of(self, linux: ec2.UserData) -> None:
        self.add_commands(*linux.render().splitlines()[1:])

    def _refused(self, problem: str) -> InvalidProps:
        return InvalidProps(self._path, [problem])


def _command_problems(commands: Sequence[str]) -> Iterator[str]:
    for command in commands:
        for signal in _SIGNALS:
            if signal in command:
                yield f"user data must not call {signal}: {_ONE_SIGNAL}"
        if problem := surrogate_problem("user data", command):
            yield problem


def with_commands(script: str, commands: Sequence[str]) -> str:
    """Return a script that runs `commands` before it hands over to the engine.

    A script that does not hand over is not the bootstrap's; there they run first.
    """
    if not commands:
        return script
    added = "".join(f"{command}\n" for command in commands)
    head, hand_over, rest = script.rpartition(_HAND_OVER)
    if hand_over:
        return "".join([head, "begin 'add_user_data'\n", added, hand_over, rest])
    return f"{SHEBANG}\n{added}{script.removeprefix(SHEBANG).removeprefix(chr(10))}"

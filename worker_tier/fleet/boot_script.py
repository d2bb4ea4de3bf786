"""User data of a fleet: one script, and the commands that anyone adds, which run before it ends.

The L2 classes of the CDK add commands at the end, where they would run after the bootstrap has
signalled that the instance dispatches: what fails there, nothing would notice. So all ways to add
commands (`WorkerTier.add_user_data`, `launch_template.user_data.add_commands`,
`auto_scaling_group.add_user_data`) put them in the same place: before the bootstrap takes over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import jsii
from aws_cdk import Resource
from aws_cdk import aws_ec2 as ec2
from aws_cdk.interfaces import aws_s3 as s3

from worker_tier.errors import InvalidProps

#: First line of every script that instances boot by.
SHEBANG: Final = "#!/bin/bash"
#: The line of the bootstrap's script after which the engine takes over and starts the daemon.
_HAND_OVER: Final = "begin 'hand over'\n"
#: Program that signals to CloudFormation; the CDK's own helpers add calls of it.
_SIGNAL_PROGRAM: Final = "cfn-signal"
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
        self._commands: list[str] = []

    @jsii.member(jsii_name="addCommands")
    def add_commands(self, *commands: str) -> None:
        """Run commands on each new instance, as root, before the daemon is installed.

        Raises:
            InvalidProps: a command signals to CloudFormation, which the bootstrap does.
        """
        if any(_SIGNAL_PROGRAM in command for command in commands):
            raise self._refused(f"user data must not call {_SIGNAL_PROGRAM}: {_ONE_SIGNAL}")
        self._commands.extend(commands)

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

    def _add_lines_of(self, linux: ec2.UserData) -> None:
        self.add_commands(*linux.render().splitlines()[1:])

    def _refused(self, problem: str) -> InvalidProps:
        return InvalidProps(self._path, [problem])


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

"""What a tier tells its instances, and what can be added to that after it is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from aws_cdk import Aws
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3

from sqsd import contract
from worker_tier.application.daemon_asset import daemon_archive
from worker_tier.checks import Plan, empty_fleet_problem
from worker_tier.errors import InvalidProps
from worker_tier.fleet.permissions import allow_enqueuing
from worker_tier.leader_table import LeaderTable
from worker_tier.operations import TierOperations
from worker_tier.periodic import PeriodicTask, Tasks, with_task
from worker_tier_bootstrap import user_data
from worker_tier_bootstrap.contract import Application, S3Object

#: The line of the script after which the engine sets the instance up and starts the daemon.
_HAND_OVER: Final = "begin 'hand over'\n"


class TierUserData(TierOperations):
    """The part of `WorkerTier` that writes user data; not used alone."""

    _plan: Plan
    _tasks: Tasks
    _key: kms.IKey | None
    _application: Application | None
    _commands: list[str]
    _daemon_location: s3.Location

    @property
    def environment(self) -> Mapping[str, str]:
        """The application's environment properties; none for one that is installed elsewhere."""
        return {} if self._application is None else dict(self._application.environment)

    def add_periodic_task(self, task: PeriodicTask) -> None:
        """Enqueue a task by its schedule; the first makes the leader table.

        Raises:
            InvalidProps: the task has a mistake, the fleet may be empty, or the user data is full.
        """
        problems: list[str] = []
        tasks = with_task(self._tasks, task, problems)
        if tasks.enabled and self._plan.min_capacity == 0:
            problems.append(empty_fleet_problem(tasks))
        if tasks.enabled and self._sleeps_by_schedule:
            problems.append(
                "add_periodic_task: scale_on_schedule empties the fleet, which then runs no task;"
                " keep it at 1 or more"
            )
        if problems:
            raise InvalidProps(self.node.path, problems)
        self._tasks = tasks
        if tasks.enabled and self.leader_table is None:
            self._elect_leaders()
        self._write_user_data()

    def add_environment(self, name: str, value: str) -> None:
        """Give the application an environment property.

        Raises:
            InvalidProps: no application is installed here, it has the property, or the user data is
                full.
        """
        application = self._application
        if application is None:
            problem = (
                f"add_environment({name!r}) is for an application that is installed here; pass"
                " application=WorkerApplication.from_asset(...)"
            )
            raise InvalidProps(self.node.path, [problem])
        if name in application.environment:
            problem = f"add_environment: {name} is set already; set it once"
            raise InvalidProps(self.node.path, [problem])
        environment = {**application.environment, name: value}
        self._application = replace(application, environment=environment)
        self._write_user_data()

    def add_user_data(self, *commands: str) -> None:
        """Run shell commands on each new instance, as root, before anything of ours is started.

        They run in bash's strict mode: one that fails fails the boot, and CloudFormation is told.

        Raises:
            InvalidProps: the user data is full.
        """
        self._commands.extend(commands)
        self._write_user_data()

    def _elect_leaders(self) -> None:
        """What enabled periodic tasks need: the table, rights, and an alarm."""
        self.leader_table = LeaderTable(self, "LeaderTable", encryption_key=self._key)
        allow_enqueuing(self, self.leader_table)
        if self.monitoring is not None:
            self.monitoring.watch_leader()

    def _write_user_data(self) -> None:
        table, dead_letters = self.leader_table, self.queues.dead_letter_queue
        resources = contract.TierResources(
            queue_url=self.queue.queue_url,
            region=Aws.REGION,
            tier_name=self.tier_name,
            dead_letter_queue_url=None if dead_letters is None else dead_letters.queue_url,
            leader_table=None if table is None else table.table.table_name,
            log_group=self.log_group.log_group_name,
        )
        location = self._daemon_location
        script = user_data.render_user_data(
            settings=contract.TierSettings(resources=resources, options=self.options),
            bundle=S3Object(
                bucket=location.bucket_name,
                key=location.object_key,
                sha256=daemon_archive().sha256,
            ),
            signal=self.fleet.signal,
            application=self._application,
            cron_yaml=self._tasks.text,
        )
        script = with_commands(script, self._commands)
        problems = [
            user_data.size_problem(script),
            user_data.patience_problem(self.fleet.signal, self._application),
        ]
        if found := [problem for problem in problems if problem is not None]:
            raise InvalidProps(self.node.path, found)
        self.fleet.set_user_data(script)


def with_commands(script: str, commands: Sequence[str]) -> str:
    """A rendered script that runs `commands` before it hands over to the engine."""
    if not commands:
        return script
    head, hand_over, rest = script.rpartition(_HAND_OVER)
    assert hand_over, "the script has no line that hands over"
    return "".join(
        [head, "begin 'add_user_data'\n", *(f"{c}\n" for c in commands), hand_over, rest]
    )

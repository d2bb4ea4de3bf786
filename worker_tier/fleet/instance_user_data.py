"""The script that instances boot by: written once, and again after each addition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from aws_cdk import Fn, Token
from aws_cdk import aws_s3 as s3

from sqsd import contract
from worker_tier.application.daemon_asset import daemon_archive
from worker_tier.application.environment import environment_problems
from worker_tier.errors import InvalidProps
from worker_tier.fleet.fleet import WorkerFleet
from worker_tier_bootstrap import user_data
from worker_tier_bootstrap.contract import Application, S3Object


class InstanceUserData:
    """Writes the user data of a fleet.

    Args:
        path: the tier's path in the tree, for errors.
        fleet: the instances that boot by it.
        daemon: where the daemon's bundle is.
        settings: the daemon's settings, which become tier.json.
        application: what the bootstrap installs, or None if something else installs it.
        application_aws_access: whether the application reaches the instance metadata service.
        cron_yaml: the text of the periodic tasks, or None without any.

    Raises:
        InvalidProps: the user data is larger than EC2 accepts, or a boot may take longer than its
            signal is awaited.
    """

    def __init__(
        self,
        path: str,
        fleet: WorkerFleet,
        *,
        daemon: s3.Location,
        settings: contract.TierSettings,
        application: Application | None,
        application_aws_access: bool,
        cron_yaml: str | None,
    ) -> None:
        self._path = path
        self._fleet = fleet
        self._daemon = daemon
        self._settings = settings
        self._application = application
        self._application_aws_access = application_aws_access
        self._cron_yaml = cron_yaml
        self._write()

    @property
    def environment(self) -> Mapping[str, str]:
        """The application's environment properties; empty if no application is installed here."""
        return {} if self._application is None else dict(self._application.environment)

    def add_environment(self, name: str, value: str) -> None:
        """Give the application an environment property.

        Raises:
            InvalidProps: no application is installed here, it has the property already, the name
                or the value cannot be one's, or the user data is full.
        """
        application = self._application
        if application is None:
            problem = (
                f"add_environment({name!r}) is for an application that is installed here; pass"
                " application=WorkerApplication.from_asset(...)"
            )
            raise InvalidProps(self._path, [problem])
        if name in application.environment:
            problem = f"add_environment: {name} is set already; set it once"
            raise InvalidProps(self._path, [problem])
        environment = {**application.environment, name: value}
        if problems := environment_problems(environment):
            raise InvalidProps(self._path, [f"add_environment: {p}" for p in problems])
        self._application = replace(application, environment=environment)
        try:
            self._write()
        except InvalidProps:
            self._application = application
            self._write()
            raise

    def add_commands(self, commands: Sequence[str]) -> None:
        """Run shell commands on each new instance before the engine takes over.

        Raises:
            InvalidProps: the user data is full, or a command signals to CloudFormation.
        """
        self._fleet.user_data.add_commands(*commands)
        try:
            self._write()
        except InvalidProps:
            self._fleet.user_data.remove_last(len(commands))
            raise

    def set_periodic_tasks(self, cron_yaml: str | None, *, leader_table: str | None) -> None:
        """Replace the periodic tasks, and the name of the table that elects who enqueues them.

        Raises:
            InvalidProps: the user data is full.
        """
        old_cron_yaml = self._cron_yaml
        old_settings = self._settings
        self._cron_yaml = cron_yaml
        resources = replace(self._settings.resources, leader_table=leader_table)
        self._settings = replace(self._settings, resources=resources)
        try:
            self._write()
        except InvalidProps:
            self._cron_yaml = old_cron_yaml
            self._settings = old_settings
            self._write()
            raise

    def _write(self) -> None:
        script = user_data.render_user_data(
            settings=self._settings,
            bundle=S3Object(
                bucket=self._daemon.bucket_name,
                key=self._daemon.object_key,
                sha256=daemon_archive().sha256,
            ),
            signal=self._fleet.signal,
            application=self._application,
            application_aws_access=self._application_aws_access,
            cron_yaml=self._cron_yaml,
            deferred=_deferred,
        )
        self._fleet.set_user_data(script)
        self._fleet.user_data.deferred = self._deferred_values()
        problems = [
            self._fleet.user_data.size_problem(),
            user_data.patience_problem(self._fleet.signal, self._application),
        ]
        if found := [problem for problem in problems if problem is not None]:
            raise InvalidProps(self._path, found)

    def _deferred_values(self) -> list[str]:
        """Return the application's values that only the deployment knows."""
        if self._application is None:
            return []
        values = [*self._application.environment.values(), self._application.image or ""]
        return [value for value in values if Token.is_unresolved(value)]


def _deferred(text: str) -> str | None:
    """Return the Base64 of a text that is known at deployment only, or None for any other."""
    return Fn.base64(text) if Token.is_unresolved(text) else None

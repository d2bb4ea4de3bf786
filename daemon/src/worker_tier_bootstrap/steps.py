"""The table: every step of a boot, in its order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from worker_tier_bootstrap import image_pull, install, packages, services
from worker_tier_bootstrap.boot import Boot, Step
from worker_tier_bootstrap.contract import CONTAINER


def _packages_skip(boot: Boot) -> str | None:
    wanted = packages.wanted(boot)
    if packages.missing(boot, wanted) or packages.are_unfinished(boot):
        return None
    return f"{', '.join(wanted)} are installed"


def _platform_skip(boot: Boot) -> str | None:
    if not boot.has_application:
        return "the application is external"
    if (reason := install.built_already(boot)) and boot.build is None:
        return reason
    wanted = _of_platform(boot)
    if not wanted:
        return "the platform needs none"
    return None if packages.missing(boot, wanted) else f"{', '.join(wanted)} are installed"


def _users_skip(boot: Boot) -> str | None:
    return None if install.missing_users(boot) else "they exist"


def _unpack_skip(boot: Boot) -> str | None:
    if boot.application.kind == CONTAINER:
        return None if boot.release is None else "the image is known"
    return install.not_bundle(boot) or install.built_already(boot)


def _unpack(boot: Boot) -> None:
    if boot.application.kind == CONTAINER:
        install.plan_container(boot)
    else:
        install.unpack_bundle(boot)


def _pull_skip(boot: Boot) -> str | None:
    if boot.application.kind != CONTAINER:
        return "there is none"
    return install.built_already(boot)


def _build_skip(boot: Boot) -> str | None:
    reason = install.not_bundle(boot) or install.built_already(boot)
    return reason or (None if install.build_commands(boot) else "there is nothing to build")


def _hooks_skip(phase: str) -> Callable[[Boot], str | None]:
    def skip(boot: Boot) -> str | None:
        reason = install.not_bundle(boot) or install.built_already(boot)
        return reason or (None if install.hooks_of(boot, phase) else "the bundle has none")

    return skip


def _postdeploy_skip(boot: Boot) -> str | None:
    if reason := install.not_bundle(boot):
        return reason
    if boot.runs_already:
        return f"release {boot.release_id} is deployed"
    return None if install.hooks_of(boot, "postdeploy") else "the bundle has none"


def _record_skip(boot: Boot) -> str | None:
    if not boot.has_application:
        return "the application is external"
    return install.built_already(boot)


def _run_hooks(phase: str) -> Callable[[Boot], None]:
    return lambda boot: install.run_hooks(boot, phase)


def _check(boot: Boot) -> None:
    install.check_system(boot)
    services.forget_what_changes(boot)


def _record(boot: Boot) -> None:
    services.check_names(boot)
    install.record(boot)


def _install_wanted(boot: Boot) -> None:
    packages.install(boot, packages.missing(boot, packages.wanted(boot)))


def _install_platform(boot: Boot) -> None:
    packages.install(boot, packages.missing(boot, _of_platform(boot)))


def _of_platform(boot: Boot) -> list[str]:
    return packages.of_platform(boot, [command for _, command in install.build_commands(boot)])


STEPS: Final[tuple[Step, ...]] = (
    Step(name="check the system", skip=lambda _: None, do=_check, undo="nothing"),
    Step(
        name="install packages",
        skip=_packages_skip,
        do=_install_wanted,
        undo="remove them by the package manager",
    ),
    Step(
        name="make users",
        skip=_users_skip,
        do=install.make_users,
        undo="userdel sqsd; userdel webapp",
    ),
    Step(
        name="put the daemon in place",
        skip=install.daemon_skip,
        do=install.place_daemon,
        undo="link /opt/worker-tier/daemon to an earlier directory of /opt/worker-tier/bundles",
    ),
    Step(
        name="complete the settings",
        skip=install.settings_skip,
        do=install.complete_settings,
        undo="run the user data again",
    ),
    Step(
        name="fetch the source bundle",
        skip=install.fetch_skip,
        do=install.fetch_bundle,
        undo="remove it from /var/app/bundles",
    ),
    Step(name="unpack", skip=_unpack_skip, do=_unpack, undo="remove it from /var/app/releases"),
    Step(
        name="install the platform's packages",
        skip=_platform_skip,
        do=_install_platform,
        undo="remove them by the package manager",
    ),
    Step(name="pull the image", skip=_pull_skip, do=image_pull.pull, undo="docker image rm"),
    Step(
        name="run prebuild hooks",
        skip=_hooks_skip("prebuild"),
        do=_run_hooks("prebuild"),
        undo="what the hooks did",
    ),
    Step(name="build", skip=_build_skip, do=install.build, undo="as for unpack"),
    Step(
        name="run predeploy hooks",
        skip=_hooks_skip("predeploy"),
        do=_run_hooks("predeploy"),
        undo="what the hooks did",
    ),
    Step(
        name="record the release",
        skip=_record_skip,
        do=_record,
        undo="remove its file from /var/lib/worker-tier/releases, to have it built again",
    ),
    Step(
        name="drain the daemon",
        skip=services.stop_skip,
        do=services.stop_daemon,
        undo="systemctl start sqsd",
        changes_service=True,
    ),
    Step(
        name="enter the release",
        skip=services.files_skip,
        do=lambda boot: services.enter(boot, boot.release),
        undo="link /var/app/current to an earlier release and run the bootstrap of that release",
        changes_service=True,
    ),
    Step(
        name="start the application",
        skip=services.application_skip,
        do=lambda boot: services.start_application(boot, boot.need_release()),
        undo="systemctl stop sqsd nginx web",
        changes_service=True,
    ),
    Step(
        name="start the daemon and wait for its first receive",
        skip=services.daemon_start_skip,
        do=services.start_daemon,
        undo="systemctl stop sqsd",
        changes_service=True,
    ),
    Step(
        name="run postdeploy hooks",
        skip=_postdeploy_skip,
        do=_run_hooks("postdeploy"),
        undo="what the hooks did",
        changes_service=True,
    ),
    Step(
        name="ship logs to CloudWatch",
        skip=services.agent_skip,
        do=services.start_agent,
        undo="remove its file by amazon-cloudwatch-agent-ctl -a remove-config",
    ),
    Step(
        name="finish",
        skip=services.finish_skip,
        do=services.finish,
        undo="none: what was left of earlier releases is gone",
    ),
)

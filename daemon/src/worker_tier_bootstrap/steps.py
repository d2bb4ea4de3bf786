"""The table: every step of a boot, in its order."""

from __future__ import annotations

from typing import Final

from worker_tier_bootstrap import (
    build,
    finish,
    image_pull,
    log_agent,
    metadata_access,
    packages,
    paths,
    prepare,
    services,
    units,
)
from worker_tier_bootstrap.boot import Step

STEPS: Final[tuple[Step, ...]] = (
    Step(
        name="check the system",
        skip=prepare.never_skip,
        do=prepare.check_system,
        undo="nothing",
    ),
    Step(
        name="install packages",
        skip=packages.tier_skip,
        do=packages.install_tier,
        undo="remove them by the package manager",
    ),
    Step(
        name="make users",
        skip=prepare.users_skip,
        do=prepare.make_users,
        undo="userdel sqsd; userdel webapp",
    ),
    Step(
        name="set who reaches the metadata service",
        skip=metadata_access.access_skip,
        do=metadata_access.set_access,
        undo=f"systemctl disable --now {units.METADATA}; nft delete table inet worker_tier",
    ),
    Step(
        name="put the daemon in place",
        skip=prepare.daemon_skip,
        do=prepare.place_daemon,
        undo=f"link {paths.DAEMON} to an earlier directory of {paths.DAEMON_BUNDLES}",
    ),
    Step(
        name="complete the settings",
        skip=prepare.settings_skip,
        do=prepare.complete_settings,
        undo="run the user data again",
    ),
    Step(
        name="fetch the source bundle",
        skip=build.fetch_skip,
        do=build.fetch_bundle,
        undo=f"remove it from {paths.SOURCE_BUNDLES}",
    ),
    Step(
        name="unpack",
        skip=build.unpack_skip,
        do=build.unpack_application,
        undo=f"remove it from {paths.RELEASES}",
    ),
    Step(
        name="install the platform's packages",
        skip=packages.platform_skip,
        do=packages.install_platform,
        undo="remove them by the package manager",
    ),
    Step(
        name="pull the image",
        skip=image_pull.pull_skip,
        do=image_pull.pull,
        undo="docker image rm",
    ),
    Step(
        name="run prebuild hooks",
        skip=build.hooks_skip("prebuild"),
        do=build.run_hooks("prebuild"),
        undo="what the hooks did",
    ),
    Step(
        name="build",
        skip=build.build_skip,
        do=build.build,
        undo="as for unpack",
    ),
    Step(
        name="run predeploy hooks",
        skip=build.hooks_skip("predeploy"),
        do=build.run_hooks("predeploy"),
        undo="what the hooks did",
    ),
    Step(
        name="record the release",
        skip=build.record_skip,
        do=build.record,
        undo=f"remove its file from {paths.RECORDS}, to have it built again",
    ),
    Step(
        name="drain the daemon",
        skip=services.stop_skip,
        do=services.stop_daemon,
        undo="systemctl start sqsd",
        changes_service=True,
    ),
    Step(
        name="activate the release",
        skip=services.activate_skip,
        do=services.activate_release,
        undo=f"link {paths.CURRENT} to an earlier release and run the bootstrap of that release",
        changes_service=True,
    ),
    Step(
        name="start the application",
        skip=services.start_application_skip,
        do=services.start_current_application,
        undo="systemctl stop sqsd nginx web",
        changes_service=True,
    ),
    Step(
        name="start the daemon and wait for its first receive",
        skip=services.start_daemon_skip,
        do=services.start_daemon,
        undo="systemctl stop sqsd",
        changes_service=True,
    ),
    Step(
        name="run postdeploy hooks",
        skip=build.postdeploy_skip,
        do=build.run_hooks("postdeploy"),
        undo="what the hooks did",
        changes_service=True,
    ),
    Step(
        name="ship logs to CloudWatch",
        skip=log_agent.log_agent_skip,
        do=log_agent.start_log_agent,
        undo="remove its file by amazon-cloudwatch-agent-ctl -a remove-config",
    ),
    Step(
        name="finish",
        skip=finish.finish_skip,
        do=finish.finish,
        undo="none: what was left of earlier releases is gone",
    ),
)

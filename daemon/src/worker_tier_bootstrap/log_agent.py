"""Ships the worker's logs to CloudWatch by Amazon's agent, where it is installed."""

from __future__ import annotations

from typing import Final

from worker_tier_bootstrap import marks, paths, units
from worker_tier_bootstrap.boot import Boot
from worker_tier_bootstrap.errors import CommandFailed

_CONTROL: Final = f"{paths.LOG_AGENT_HOME}/bin/amazon-cloudwatch-agent-ctl"


def log_agent_skip(boot: Boot) -> str | None:
    if boot.log_group is None:
        return "no log group is given"
    if not boot.machine.path(_CONTROL).exists():
        return "the CloudWatch agent is not installed"
    ships = boot.machine.read(paths.LOG_AGENT_MARK) == marks.digest([_configuration(boot)])
    return "it ships these logs" if ships else None


def start_log_agent(boot: Boot) -> None:
    """Give the agent its configuration; a failure is logged, because the worker works without."""
    text = _configuration(boot)
    boot.machine.write(paths.LOG_AGENT, text)
    try:
        boot.machine.run(
            [
                _CONTROL,
                *("-a", "append-config", "-m", "ec2", "-s"),
                *("-c", f"file:{paths.LOG_AGENT}"),
            ],
            hint=f"see {paths.LOG_AGENT_HOME}/logs, then run the user data again",
        )
    except CommandFailed as error:
        boot.machine.log(f"logs stay on this instance: {error}")
    else:
        boot.machine.write(paths.LOG_AGENT_MARK, marks.digest([text]))


def _configuration(boot: Boot) -> str:
    assert boot.log_group is not None
    names = [] if boot.release is None else list(boot.release.processes)
    return units.log_agent_configuration(boot.log_group, names)

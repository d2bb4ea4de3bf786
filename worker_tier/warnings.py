"""Warnings of `cdk synth`: what is built as asked, but may not be what was meant.

Each has an id, so that `Annotations.of(tier).acknowledge_warning(id)` silences it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from aws_cdk import Annotations
from aws_cdk import aws_kms as kms
from constructs import Construct

from sqsd.contract import is_loopback
from worker_tier.encryption import own_key
from worker_tier.periodic import Tasks
from worker_tier.props import CommonProps
from worker_tier.queues.existing_queue import place_warnings
from worker_tier_bootstrap.beanstalk import sentences
from worker_tier_bootstrap.beanstalk import warnings as bundle_warnings
from worker_tier_bootstrap.contract import EXTERNAL

#: Time between EC2's interruption notice and the end of a Spot instance, s.
_SPOT_NOTICE_SECONDS: Final = 120
#: What follows from an `http_host` that is not loopback.
_OFF_THIS_MACHINE: Final = (
    "so bodies and attributes of all messages leave the instance in plain HTTP, and only their"
    " signature shows who sent them; for another Host header set host_header instead"
)


def add_warnings(
    tier: Construct, props: CommonProps, tasks: Tasks, *, role_takes_policies: bool
) -> None:
    """Annotate a tier with everything doubtful in its props.

    Args:
        tasks: what was read of `periodic_tasks`.
        role_takes_policies: whether policies can be attached to the role of the instances.
    """
    application = props.get("application")
    if application is not None and application.bundle is not None:
        summary = application.bundle.assessment.summary
        Annotations.of(tier).add_info_v2("worker-tier:source-bundle", summary)
    for name, text in [
        *_application_warnings(props),
        *_bundle_warnings(props),
        *_permission_warnings(props, role_takes_policies),
        *_host_warnings(props),
        *_scale_in_warnings(props),
        *_protection_warnings(props),
        *_spot_warnings(props),
        *_queue_warnings(tier, props),
        *((f"periodic-tasks-{number}", text) for number, text in enumerate(tasks.warnings)),
    ]:
        Annotations.of(tier).add_warning_v2(f"worker-tier:{name}", text)


def _application_warnings(props: CommonProps) -> Iterator[tuple[str, str]]:
    application = props.get("application")
    if application is not None and (names := application.withheld_from_hooks()):
        yield (
            "hook-properties",
            f"hooks of the bundle run as root, and do not get {', '.join(names)}: by these a"
            " program loads code or settings that the application may write; set what a hook needs"
            " in the hook itself",
        )
    if application is None and props.get("machine_image") is None:
        yield (
            "no-application",
            "nothing will answer the daemon's POSTs: there is neither an application nor a"
            " machine_image that has one, so instances receive nothing and a deployment that waits"
            " for them fails; pass application=WorkerApplication.from_asset(...), or .external()"
            " if user data installs one",
        )
    if props.get("application_aws_access") is False and not _is_installed(props):
        yield (
            "application-aws-access",
            "application_aws_access=False holds users other than root and the daemon's, and the"
            " application is not installed by the tier; see that it does not run as root, or pass"
            " application=WorkerApplication.from_asset(...)",
        )


def _is_installed(props: CommonProps) -> bool:
    application = props.get("application")
    return application is not None and application.kind != EXTERNAL


def _bundle_warnings(props: CommonProps) -> Iterator[tuple[str, str]]:
    """Yield what becomes of parts of the source bundle that Elastic Beanstalk treats otherwise."""
    application = props.get("application")
    if application is None or application.bundle is None:
        return
    for finding, text in sentences(bundle_warnings(application.bundle.assessment.findings)):
        yield f"source-bundle-{finding.place.file.replace(' ', '-') or 'files'}", text


def _permission_warnings(
    props: CommonProps, role_takes_policies: bool
) -> Iterator[tuple[str, str]]:
    if not role_takes_policies:
        yield (
            "role",
            "role is not to be changed, so nothing is attached to it and instances may call"
            " nothing; attach the tier's two policies (Fleet/Policy and Fleet/LifecyclePolicy)"
            " to it, or import it with mutable=True",
        )
    key = own_key(props.get("encryption_key"))
    if key is not None and not isinstance(key, kms.Key):
        yield (
            "encryption-key",
            "encryption_key is imported, so its policy cannot be changed from here: its owner must"
            " allow CloudWatch Logs, CloudWatch, and Auto Scaling's service-linked role;"
            " docs/guide/deploy.md has the statements",
        )


def _host_warnings(props: CommonProps) -> Iterator[tuple[str, str]]:
    host = props.get("http_host")
    if host is not None and not is_loopback(host):
        yield "http-host", f"http_host is {host}, {_OFF_THIS_MACHINE}"


def _scale_in_warnings(props: CommonProps) -> Iterator[tuple[str, str]]:
    if props.get("scale_in_protection"):
        yield (
            "scale-in-protection",
            "scale_in_protection keeps deployments waiting for protected instances, up to an hour"
            " each, and nothing unprotects them but you; instances drain without it, too",
        )


def _protection_warnings(props: CommonProps) -> Iterator[tuple[str, str]]:
    if props.get("protect_busy_instance"):
        yield (
            "protect-busy-instance",
            "protect_busy_instance keeps a deployment that replaces instances, and the deletion of"
            " the stack, waiting for instances with long requests, and lets them fail after an"
            " hour; docs/guide/configure.md says what to do before",
        )


def _spot_warnings(props: CommonProps) -> Iterator[tuple[str, str]]:
    capacity = props.get("capacity")
    drain = props.get("drain_timeout")
    if capacity is None or not capacity.uses_spot or drain is None:
        return
    seconds = drain.to_seconds()
    if seconds > _SPOT_NOTICE_SECONDS:
        yield (
            "spot-drain",
            f"drain_timeout ({seconds:.0f} s) is more than the {_SPOT_NOTICE_SECONDS} s that"
            " EC2 gives a spot instance; requests that take longer are cut there, and their"
            " messages come back when their visibility ends",
        )


def _queue_warnings(tier: Construct, props: CommonProps) -> Iterator[tuple[str, str]]:
    queue = props.get("queue")
    if queue is not None:
        for number, text in enumerate(place_warnings(tier, queue)):
            yield f"queue-place-{number}", text

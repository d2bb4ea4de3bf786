"""What is built as asked, and may not be what was meant: told as warnings of `cdk synth`.

Each has an id, so that `Annotations.of(tier).acknowledge_warning(id)` silences it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from aws_cdk import Annotations, Duration
from aws_cdk import aws_kms as kms
from constructs import Construct

from worker_tier.fleet.capacity import WorkerCapacity
from worker_tier.queues.existing_queue import place_warnings

#: Between EC2's notice and the end of a spot instance.
_SPOT_NOTICE_SECONDS: Final = 120


def caution(tier: Construct, props: Mapping[str, Any], *, role_takes_policies: bool) -> None:
    """Warn about a tier's props."""
    for name, text in _cautions(tier, props, role_takes_policies):
        Annotations.of(tier).add_warning_v2(f"worker-tier:{name}", text)


def _cautions(
    tier: Construct, props: Mapping[str, Any], role_takes_policies: bool
) -> Iterator[tuple[str, str]]:
    if props["application"] is None and props["machine_image"] is None:
        yield (
            "no-application",
            "nothing will answer the daemon's POSTs: there is neither an application nor a"
            " machine_image that has one, so instances receive nothing and a deployment that waits"
            " for them fails; pass application=WorkerApplication.from_asset(...), or .external()"
            " if user data installs one",
        )
    if not role_takes_policies:
        yield (
            "role",
            "role is not to be changed, so nothing is attached to it and instances may call"
            " nothing; attach the tier's two policies (Fleet/Policy and Fleet/LifecyclePolicy)"
            " to it, or import it with mutable=True",
        )
    key = props["encryption_key"]
    if key is not None and not isinstance(key, kms.Key):
        yield (
            "encryption-key",
            "encryption_key is imported, so its policy cannot be changed from here: its owner must"
            " admit CloudWatch Logs, CloudWatch, and Auto Scaling's service-linked role, as"
            " docs/stack.md tells",
        )
    if props["scale_in_protection"]:
        yield (
            "scale-in-protection",
            "scale_in_protection keeps deployments waiting for protected instances, up to an hour"
            " each, and nothing unprotects them but you; instances drain without it, too",
        )
    capacity: WorkerCapacity | None = props["capacity"]
    drain: Duration | None = props["drain_timeout"]
    if capacity is not None and capacity.uses_spot and drain is not None:
        seconds = drain.to_seconds()
        if seconds > _SPOT_NOTICE_SECONDS:
            yield (
                "spot-drain",
                f"drain_timeout ({seconds:.0f} s) is more than the {_SPOT_NOTICE_SECONDS} s that"
                " EC2 gives a spot instance; requests that take longer are cut there, and their"
                " messages come back when their visibility ends",
            )
    if props["queue"] is not None:
        for number, text in enumerate(place_warnings(tier, props["queue"])):
            yield f"queue-place-{number}", text

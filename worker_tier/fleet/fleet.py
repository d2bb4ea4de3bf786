"""The Auto Scaling group: launch template, role, security group, rolling updates, drain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack, cast

import jsii
from aws_cdk import (
    Acknowledgment,
    Annotations,
    Aws,
    Stack,
    Validations,
)
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from constructs import Construct, IConstruct, IValidation

from worker_tier.encryption import allow_alarms_to_publish
from worker_tier.errors import InvalidProps
from worker_tier.fleet.boot_script import SHEBANG, BootScript
from worker_tier.fleet.capacity import chosen_capacity
from worker_tier.fleet.checks import (
    LEAST_VOLUME_GIBIBYTES,
    fleet_problems,
    subnet_problems,
    warmup_problems,
)
from worker_tier.fleet.machine_image import WorkerMachineImage, chosen_image, image_problems
from worker_tier.fleet.policy_size import split_at_synth
from worker_tier.fleet.tags import tag_by_the_group
from worker_tier.fleet.updates import (
    UpdateBounds,
    awaited,
    termination_hook,
    unrendered_problem,
    with_signals,
)
from worker_tier.props import InstanceProps, WorkerFleetProps
from worker_tier.props_help import with_props
from worker_tier.props_types import checked_props
from worker_tier.removal import removal_problems, removed_with_the_stack
from worker_tier.type_checks import check_place, checked
from worker_tier_bootstrap.user_data import Signal


@jsii.implements(ec2.IConnectable, iam.IGrantable)
class WorkerFleet(Construct):
    """Instances of an explicit launch template, replaced one at a time, drained before they end.

    Args:
        props: those of `worker_tier.props.WorkerFleetProps`.

    Raises:
        InvalidProps: with every problem found.
    """

    def __init__(self, scope: Construct, id: str, **props: Unpack[WorkerFleetProps]) -> None:
        check_place(scope, id)
        super().__init__(scope, id)
        if problems := _problems(props):
            raise InvalidProps(self.node.path, problems)
        self._awaits_signal = props["min_capacity"] > 0
        self._signal_timeout_seconds = int(props["signal_timeout"].to_seconds())
        self._capacity = chosen_capacity(props.get("instance_type"), props.get("capacity"))
        #: The script that instances boot by; what is added to it runs before the daemon starts.
        self.user_data = BootScript(self.node.path)
        #: The operating system that instances boot.
        self.machine_image = _machine_image(props)
        #: The role of the instances. `policy`, which exists before they boot, gives it its rights.
        self.role = self._role(props)
        #: Whether policies can be attached to the role; not so if it is imported with
        #: `mutable=False`.
        self.role_takes_policies = props.get("role") is None or _takes_policies(self, self.role)
        #: The instances' policy, apart from `lifecycle_policy` and the one that pulls an image.
        #: What one document cannot hold goes into more of them, below it in the tree.
        self.policy = iam.ManagedPolicy(
            self,
            "Policy",
            description="What a worker tier's daemon and bootstrap call",
            roles=self._attached_roles,
            statements=[_signal_statement()],
        )
        split_at_synth(self.policy, self._attached_roles)
        #: The security group of the instances.
        self.security_group = self._security_group(props)
        self._connections = ec2.Connections(security_groups=[self.security_group])
        #: One version for each change of user data or machine image.
        self.launch_template = self._new_launch_template(props)
        #: The topic that every launch and termination is published to, failed ones included.
        self.notifications_topic = self._topic(props)
        #: The instances.
        self.auto_scaling_group = self._new_group(props)
        self._change_group_resource(props)
        #: Lets an instance renew and end its own wait when it is terminated.
        self.lifecycle_policy = self._new_lifecycle_policy()
        # Instances that boot before their policy exists cannot fetch the daemon.
        self.auto_scaling_group.node.add_dependency(self.policy)
        self.node.add_validation(cast(IValidation, _SizeCheck(self)))

    def _role(self, props: InstanceProps) -> iam.IRole:
        given = props.get("role")
        role = self._new_role(props) if given is None else given
        if props.get("session_manager"):
            _allow_session_manager(role)
        return role

    def _new_role(self, props: InstanceProps) -> iam.IRole:
        principal = props.get("instance_principal")
        if principal is None:
            principal = iam.ServicePrincipal("ec2.amazonaws.com")
        return iam.Role(self, "Role", assumed_by=principal)

    @property
    def _attached_roles(self) -> list[iam.IRole]:
        return [self.role] if self.role_takes_policies else []

    def _security_group(self, props: WorkerFleetProps) -> ec2.ISecurityGroup:
        given = props.get("security_group")
        return self._new_security_group(props["vpc"]) if given is None else given

    def _new_security_group(self, vpc: ec2.IVpc) -> ec2.SecurityGroup:
        return ec2.SecurityGroup(
            self,
            "SecurityGroup",
            vpc=vpc,
            description="Worker tier instances: everything out, nothing in",
            allow_all_outbound=True,
        )

    def _new_launch_template(self, props: WorkerFleetProps) -> ec2.LaunchTemplate:
        hops = props.get("http_put_response_hop_limit")
        template = ec2.LaunchTemplate(
            self,
            "LaunchTemplate",
            associate_public_ip_address=props.get("associate_public_ip_address"),
            block_devices=[_root_volume(self.machine_image.root_device, props)],
            detailed_monitoring=props.get("detailed_monitoring") is not False,
            http_put_response_hop_limit=1 if hops is None else hops,
            instance_type=next(iter(self._capacity.instance_types), None),
            machine_image=self.machine_image.image(self._capacity.processor()),
            require_imdsv2=True,
            role=self.role,
            security_group=self.security_group,
            user_data=self.user_data,
        )
        tag_by_the_group(template)
        if problems := image_problems(template, self._capacity.processor()):
            raise InvalidProps(self.node.path, problems)
        return template

    def _new_group(self, props: WorkerFleetProps) -> autoscaling.AutoScalingGroup:
        try:
            return self._group(props)
        except RuntimeError as error:  # of JavaScript, by which the policy is rendered
            if problem := unrendered_problem(str(error)):
                raise InvalidProps(self.node.path, [problem]) from None
            raise

    def _group(self, props: WorkerFleetProps) -> autoscaling.AutoScalingGroup:
        return autoscaling.AutoScalingGroup(
            self,
            "AutoScalingGroup",
            vpc=props["vpc"],
            vpc_subnets=props.get("vpc_subnets"),
            **self._what_is_launched(),
            min_capacity=props["min_capacity"],
            max_capacity=props["max_capacity"],
            default_instance_warmup=props["instance_warmup"],
            max_instance_lifetime=props.get("max_instance_lifetime"),
            new_instances_protected_from_scale_in=props.get("scale_in_protection") or None,
            group_metrics=[autoscaling.GroupMetrics.all()],
            # A volume that fails leaves an instance that answers pings and does nothing.
            health_checks=autoscaling.HealthChecks.with_additional_checks(
                additional_types=[autoscaling.AdditionalHealthCheckType.EBS],
                grace_period=props["instance_warmup"],
            ),
            notifications=[
                autoscaling.NotificationConfiguration(
                    topic=self.notifications_topic, scaling_events=autoscaling.ScalingEvents.ALL
                )
            ],
            termination_policies=[
                # So that a deployment and a scale-in together leave the newest version.
                autoscaling.TerminationPolicy.OLDEST_LAUNCH_TEMPLATE,
                autoscaling.TerminationPolicy.DEFAULT,
            ],
            update_policy=_update_policy(props),
        )

    def _change_group_resource(self, props: WorkerFleetProps) -> None:
        """Set what the L2 group has no props for: the signals to await, and the lifecycle hook.

        Raises:
            InvalidProps: `update_policy` would not await the signals, or could replace nothing.
        """
        group = self._group_resource
        problems: list[str] = []
        group.cfn_options.update_policy = with_signals(
            group.cfn_options.update_policy, _update_bounds(props), problems
        )
        if problems:
            raise InvalidProps(self.node.path, problems)
        if self._awaits_signal:
            group.cfn_options.creation_policy = awaited(
                props["min_capacity"], props["signal_timeout"]
            )
        group.lifecycle_hook_specification_list = [termination_hook(props["drain_timeout_seconds"])]

    def _new_lifecycle_policy(self) -> iam.ManagedPolicy:
        """Make a policy apart, because it names the group.

        Were it part of `policy`, the group, which waits for signals of instances that need
        `policy`, would wait for itself.
        """
        return iam.ManagedPolicy(
            self,
            "LifecyclePolicy",
            description="Lets a worker tier's instances end their own wait at termination",
            roles=self._attached_roles,
            statements=[
                iam.PolicyStatement(
                    actions=[
                        "autoscaling:CompleteLifecycleAction",
                        "autoscaling:RecordLifecycleActionHeartbeat",
                    ],
                    resources=[self._group_resource.attr_auto_scaling_group_arn],
                )
            ],
        )

    @property
    @jsii.member(jsii_name="connections")
    def connections(self) -> ec2.Connections:
        """For security group rules to and from the instances."""
        return self._connections

    @property
    @jsii.member(jsii_name="grantPrincipal")
    def grant_principal(self) -> iam.IPrincipal:
        """The instances' policy: what is granted to the fleet becomes a statement of it."""
        return self.policy.grant_principal

    @property
    def signal(self) -> Signal:
        """The signal that the bootstrap sends to CloudFormation when a boot has ended."""
        return Signal(
            stack=Aws.STACK_ID,
            region=Aws.REGION,
            resource=self._group_resource.logical_id,
            awaited=self._awaits_signal,
            timeout_seconds=self._signal_timeout_seconds,
        )

    @checked
    def set_user_data(self, script: str) -> None:
        """Set the script that instances boot by; a second call replaces the first.

        It comes last, because the script names the group, and the group names the launch template
        that contains it.

        Raises:
            ValueError: the script does not begin with `#!/bin/bash`.
        """
        if script.partition("\n")[0] != SHEBANG:
            raise ValueError(f"user data must begin with the line {SHEBANG}, got {script[:40]!r}")
        self.user_data.script = script

    @property
    def _group_resource(self) -> autoscaling.CfnAutoScalingGroup:
        return cast(autoscaling.CfnAutoScalingGroup, self.auto_scaling_group.node.default_child)

    def _topic(self, props: WorkerFleetProps) -> sns.ITopic:
        given = props.get("notifications_topic")
        return self._new_topic(props) if given is None else given

    def _new_topic(self, props: WorkerFleetProps) -> sns.Topic:
        key = props.get("encryption_key")
        topic = sns.Topic(self, "Notifications", enforce_ssl=True, master_key=key)
        # People subscribe to it, so alarms may publish to it too.
        allow_alarms_to_publish(topic)
        removed_with_the_stack(topic, props, retained_when_replaced=False)
        return topic

    @checked
    def allow_pulls(self, grant: Callable[[iam.IGrantable], object]) -> None:
        """Let instances pull an image, by a separate policy.

        ECR's `GetAuthorizationToken` can be granted on `*` only, and a finding about that must not
        hide others.

        Args:
            grant: grants the rights to pull; for a public image it grants nothing.
        """
        policy = iam.ManagedPolicy(
            self,
            "PullPolicy",
            description="Lets a worker tier's instances pull their application's image",
            roles=self._attached_roles,
        )
        grant(policy)
        if policy.document.is_empty:
            self.node.try_remove_child("PullPolicy")
            return
        _acknowledge(
            policy,
            "AwsSolutions::AwsSolutions-IAM5[Resource::*]",
            "ecr:GetAuthorizationToken knows no resource; what its token opens is granted by name.",
        )
        self.auto_scaling_group.node.add_dependency(policy)

    def _what_is_launched(self) -> dict[str, Any]:
        """Return the group's props for one On-Demand type, or for several types and Spot."""
        capacity = self._capacity
        if not capacity.is_mixed:
            return {"launch_template": self.launch_template}
        # cdk-nag 3 fails on a group that names its launch template inside of a mixed policy.
        _acknowledge(
            self,
            "AwsSolutions::AwsSolutions-EC26",
            "The launch template's only volume is encrypted; the rule cannot read a group with"
            " mixed instances and fails.",
        )
        distribution = autoscaling.InstancesDistribution(
            on_demand_base_capacity=capacity.on_demand_base,
            on_demand_percentage_above_base_capacity=capacity.on_demand_percentage,
            spot_allocation_strategy=capacity.allocation_strategy,
        )
        return {
            "mixed_instances_policy": autoscaling.MixedInstancesPolicy(
                launch_template=self.launch_template,
                launch_template_overrides=capacity.overrides(),
                instances_distribution=distribution,
            ),
            "capacity_rebalance": capacity.capacity_rebalance or None,
        }


@jsii.implements(IValidation)
class _SizeCheck:
    """Checks at synth how long the user data became, whoever added to it."""

    def __init__(self, fleet: WorkerFleet) -> None:
        self._fleet = fleet

    @jsii.member(jsii_name="validate")
    def validate(self) -> list[str]:
        problem = self._fleet.user_data.size_problem()
        warning = self._fleet.user_data.size_warning()
        if problem is None and warning is not None:
            Annotations.of(self._fleet).add_warning_v2("worker-tier:user-data-size", warning)
        return [] if problem is None else [problem]


# For `help(WorkerFleet)`.
WorkerFleet.__doc__ = with_props(WorkerFleet.__doc__, WorkerFleetProps)


def _problems(props: WorkerFleetProps) -> list[str]:
    problems: list[str] = []
    usable = checked_props(props, WorkerFleetProps, "WorkerFleet", problems)
    problems += fleet_problems(usable)
    problems += subnet_problems(usable.get("vpc"), usable.get("vpc_subnets"))
    problems += warmup_problems(usable.get("instance_warmup"))
    problems += removal_problems(usable)
    return problems


def _machine_image(props: InstanceProps) -> WorkerMachineImage:
    image = chosen_image(props.get("machine_image"), [])
    assert image is not None, "fleet_problems let an image of unknown kind pass"
    return image


def _update_policy(props: WorkerFleetProps) -> autoscaling.UpdatePolicy:
    """Return the policy that was given, or a rolling update, which `with_signals` completes."""
    given = props.get("update_policy")
    return autoscaling.UpdatePolicy.rolling_update(max_batch_size=1) if given is None else given


def _update_bounds(props: WorkerFleetProps) -> UpdateBounds:
    return UpdateBounds(
        min_capacity=props["min_capacity"],
        max_capacity=props["max_capacity"],
        signal_timeout=props["signal_timeout"],
        warmup=props["instance_warmup"],
    )


def _allow_session_manager(role: iam.IRole) -> None:
    role.add_managed_policy(
        iam.ManagedPolicy.from_aws_managed_policy_name("AmazonSSMManagedInstanceCore")
    )
    reason = (
        "Session Manager was asked for, and AWS keeps its policy up to date with what the agent"
        " calls; the account's default host management does without."
    )
    rule = "AwsSolutions::AwsSolutions-IAM4"
    policy = "[Policy::arn:<AWS::Partition>:iam::aws:policy/AmazonSSMManagedInstanceCore]"
    try:
        _acknowledge(role, rule + policy, reason)
    except RuntimeError:
        # Older CDKs accept no such id, and their rules ask for none.
        _acknowledge(role, rule, reason)


def _signal_statement() -> iam.PolicyStatement:
    """Return the right to signal how a boot ended, and to find the name of the group."""
    return iam.PolicyStatement(
        actions=["cloudformation:DescribeStackResource", "cloudformation:SignalResource"],
        resources=[Aws.STACK_ID],
    )


def _takes_policies(scope: Construct, role: iam.IRole) -> bool:
    """Return whether a role accepts policies; one imported with `mutable=False` ignores them."""
    probe = iam.Policy(scope, "Probe")
    role.attach_inline_policy(probe)
    taken = Stack.of(scope).resolve(cast(iam.CfnPolicy, probe.node.default_child).roles)
    scope.node.try_remove_child("Probe")
    return bool(taken)


def _acknowledge(construct: IConstruct, id: str, reason: str) -> None:
    """Record for validators that a finding is accepted, and why."""
    Validations.of(construct).acknowledge(Acknowledgment(id=id, reason=reason))


def _root_volume(device: str, props: InstanceProps) -> ec2.BlockDevice:
    size = props.get("root_volume_size")
    volume_type = props.get("root_volume_type")
    return ec2.BlockDevice(
        device_name=device,
        volume=ec2.BlockDeviceVolume.ebs(
            LEAST_VOLUME_GIBIBYTES if size is None else int(size.to_gibibytes()),
            delete_on_termination=True,
            encrypted=True,
            volume_type=ec2.EbsDeviceVolumeType.GP3 if volume_type is None else volume_type,
        ),
    )

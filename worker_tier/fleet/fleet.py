"""The Auto Scaling group: launch template, role, security group, rolling updates, drain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import jsii
from aws_cdk import (
    Acknowledgment,
    Aws,
    Duration,
    IStableStringProducer,
    Lazy,
    Size,
    Stack,
    Validations,
)
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct, IConstruct

from worker_tier.encryption import admit_alarms
from worker_tier.errors import InvalidProps
from worker_tier.fleet.capacity import DEFAULT_INSTANCE_TYPE, WorkerCapacity
from worker_tier.fleet.checks import LEAST_VOLUME_GIBIBYTES, fleet_problems
from worker_tier.fleet.machine_image import WorkerMachineImage, chosen_image
from worker_tier.fleet.updates import awaited, one_at_a_time, termination_hook
from worker_tier_bootstrap.user_data import Signal

_SHEBANG: Final = "#!/bin/bash"


@jsii.implements(IStableStringProducer)
class _Script:
    """The script instances boot by, as it stands when the template is written."""

    text = _SHEBANG

    def produce(self) -> str:
        return self.text


@jsii.implements(ec2.IConnectable, iam.IGrantable)
class WorkerFleet(Construct):
    """Instances of an explicit launch template, replaced one at a time, drained before they go.

    Args:
        vpc: where instances run.
        vpc_subnets: which subnets. Default: private ones with a way out.
        security_group: Default: a new one that lets everything out and nothing in.
        associate_public_ip_address: Default: what the subnet says.
        instance_type: Default: t4g.small (Graviton).
        capacity: several types, or spot; instead of `instance_type`. Default: on demand.
        machine_image: Default: the newest Amazon Linux 2023 at each deployment, for the instance
            type's processor. A newer image replaces the instances.
        root_volume_size: encrypted by the account's key for volumes, 8 GiB or more. Default: 8 GiB.
        root_volume_type: Default: gp3.
        http_put_response_hop_limit: of the metadata service; 2 for applications in containers.
            Default: 1.
        min_capacity, max_capacity: bounds of the group. There is no desired capacity: it would set
            the fleet back at each deployment.
        drain_timeout_seconds: what an instance gets to finish requests; while it does, the daemon
            renews the hook, whose own heartbeat is two minutes at most.
        signal_timeout: how long a deployment waits for an instance to dispatch. Not used when
            `min_capacity` is 0, for then nothing may ever start; a deployment then gives each new
            instance `instance_warmup` before the next one is replaced.
        instance_warmup: time from launch until an instance receives.
        max_instance_lifetime: after which an instance is replaced, 1 to 365 days. Default: none.
        scale_in_protection: scaling in passes over new instances until somebody unprotects them;
            deployments then wait for them too. Default: False, for instances drain.
        detailed_monitoring: a metric a minute. Default: True.
        update_policy: Default: one instance at a time, each awaited.
        role: the instances' role, made elsewhere; it gets two managed policies, unless it is not to
            be changed. Default: a new one.
        instance_principal: who may assume the new role. Default: `ec2.amazonaws.com`, in every
            partition.
        session_manager: people may open a shell by AWS Systems Manager. Default: False.
        notifications_topic: told of launches and terminations. Default: a new one, TLS only.
        encryption_key: of the new topic. Default: none.

    Raises:
        InvalidProps: with every problem found.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        vpc: ec2.IVpc,
        min_capacity: int,
        max_capacity: int,
        drain_timeout_seconds: int,
        signal_timeout: Duration,
        instance_warmup: Duration,
        vpc_subnets: ec2.SubnetSelection | None = None,
        security_group: ec2.ISecurityGroup | None = None,
        associate_public_ip_address: bool | None = None,
        instance_type: ec2.InstanceType | None = None,
        capacity: WorkerCapacity | None = None,
        machine_image: ec2.IMachineImage | WorkerMachineImage | None = None,
        root_volume_size: Size | None = None,
        root_volume_type: ec2.EbsDeviceVolumeType | None = None,
        http_put_response_hop_limit: int | None = None,
        max_instance_lifetime: Duration | None = None,
        scale_in_protection: bool = False,
        detailed_monitoring: bool = True,
        update_policy: autoscaling.UpdatePolicy | None = None,
        role: iam.IRole | None = None,
        instance_principal: iam.IPrincipal | None = None,
        session_manager: bool = False,
        notifications_topic: sns.ITopic | None = None,
        encryption_key: kms.IKey | None = None,
    ) -> None:
        super().__init__(scope, id)
        if problems := fleet_problems(locals()):
            raise InvalidProps(self.node.path, problems)
        self._awaits_signal = min_capacity > 0
        self._signal_timeout_seconds = int(signal_timeout.to_seconds())
        self._capacity = capacity or WorkerCapacity.on_demand(
            instance_type or ec2.InstanceType(DEFAULT_INSTANCE_TYPE)
        )
        #: The system instances boot.
        self.machine_image = cast(WorkerMachineImage, chosen_image(machine_image, []))
        #: What instances may do hangs on this role by `policy`, which is there before they boot.
        self.role: iam.IRole = role or iam.Role(
            self,
            "Role",
            assumed_by=instance_principal or iam.ServicePrincipal("ec2.amazonaws.com"),
        )
        if session_manager:
            self._let_session_manager_in()
        #: Whether anything can be attached to the role; not to one imported with `mutable=False`.
        self.role_takes_policies = role is None or _takes_policies(self, role)
        attached = [self.role] if self.role_takes_policies else []
        #: The instances' one policy but for `lifecycle_policy`, and a container's to pull.
        self.policy = iam.ManagedPolicy(
            self,
            "Policy",
            description="What a worker tier's daemon and bootstrap call",
            roles=attached,
        )
        self.security_group: ec2.ISecurityGroup = security_group or ec2.SecurityGroup(
            self,
            "SecurityGroup",
            vpc=vpc,
            description="Worker tier instances: everything out, nothing in",
            allow_all_outbound=True,
        )
        self._connections = ec2.Connections(security_groups=[self.security_group])
        self._script = _Script()
        processor = self._capacity.processor()
        #: One version for each change of user data or machine image.
        self.launch_template = ec2.LaunchTemplate(
            self,
            "LaunchTemplate",
            associate_public_ip_address=associate_public_ip_address,
            block_devices=[
                _root_volume(
                    self.machine_image.root_device,
                    root_volume_size or Size.gibibytes(LEAST_VOLUME_GIBIBYTES),
                    root_volume_type or ec2.EbsDeviceVolumeType.GP3,
                )
            ],
            detailed_monitoring=detailed_monitoring,
            http_put_response_hop_limit=http_put_response_hop_limit or 1,
            instance_type=next(iter(self._capacity.instance_types), None),
            machine_image=self.machine_image.image(processor),
            require_imdsv2=True,
            role=self.role,
            security_group=self.security_group,
            user_data=ec2.UserData.custom(Lazy.string(cast(Any, self._script))),
        )
        #: Told of every launch and termination, and of those that failed.
        self.notifications_topic: sns.ITopic = notifications_topic or self._new_topic(
            encryption_key
        )
        #: The instances.
        self.auto_scaling_group = autoscaling.AutoScalingGroup(
            self,
            "AutoScalingGroup",
            vpc=vpc,
            vpc_subnets=vpc_subnets,
            **self._what_is_launched(),
            min_capacity=min_capacity,
            max_capacity=max_capacity,
            default_instance_warmup=instance_warmup,
            max_instance_lifetime=max_instance_lifetime,
            new_instances_protected_from_scale_in=scale_in_protection or None,
            group_metrics=[autoscaling.GroupMetrics.all()],
            # A volume that fails leaves an instance that answers pings and does nothing.
            health_checks=autoscaling.HealthChecks.with_additional_checks(
                additional_types=[autoscaling.AdditionalHealthCheckType.EBS],
                grace_period=instance_warmup,
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
            update_policy=update_policy
            or one_at_a_time(
                min_capacity=min_capacity,
                max_capacity=max_capacity,
                signal_timeout=signal_timeout,
                warmup=instance_warmup,
            ),
        )
        if self._awaits_signal:
            creation = awaited(min_capacity, signal_timeout)
            self._group_resource.cfn_options.creation_policy = creation
        self._group_resource.lifecycle_hook_specification_list = [
            termination_hook(drain_timeout_seconds)
        ]
        #: Lets an instance renew and end its own wait on the way out. It is a policy apart because
        #: it names the group: were it part of `policy`, the group, which waits for signals of
        #: instances that need `policy`, would wait for itself.
        self.lifecycle_policy = iam.ManagedPolicy(
            self,
            "LifecyclePolicy",
            description="Lets a worker tier's instances end their own wait at termination",
            roles=attached,
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
        # Instances that boot before their policy cannot fetch the daemon.
        self.auto_scaling_group.node.add_dependency(self.policy)

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
        """What the bootstrap tells CloudFormation; the stack's id stays a pseudo parameter."""
        return Signal(
            stack=Aws.STACK_ID,
            region=Aws.REGION,
            resource=self._group_resource.logical_id,
            awaited=self._awaits_signal,
            timeout_seconds=self._signal_timeout_seconds,
        )

    def set_user_data(self, script: str) -> None:
        """Give instances the script they boot by, beginning with `#!/bin/bash`.

        It names the group, and the group names the launch template that holds it, so it comes last;
        called again, it replaces what it said.
        """
        if script.partition("\n")[0] != _SHEBANG:
            raise ValueError(f"user data must begin with the line {_SHEBANG}, got {script[:40]!r}")
        self._script.text = script

    @property
    def _group_resource(self) -> autoscaling.CfnAutoScalingGroup:
        return cast(autoscaling.CfnAutoScalingGroup, self.auto_scaling_group.node.default_child)

    def _new_topic(self, key: kms.IKey | None) -> sns.Topic:
        topic = sns.Topic(self, "Notifications", enforce_ssl=True, master_key=key)
        # People subscribe to it, so alarms may tell it too.
        admit_alarms(topic)
        return topic

    def allow_pulls(self, grant: Callable[[iam.IGrantable], object]) -> None:
        """Let instances pull an image, by a policy of its own: ECR's `GetAuthorizationToken` can be
        granted on `*` only, and a finding about that must not hide others.

        Args:
            grant: gives the rights; for an image that anybody may pull it gives none.
        """
        policy = iam.ManagedPolicy(
            self,
            "PullPolicy",
            description="Lets a worker tier's instances pull their application's image",
            roles=[self.role] if self.role_takes_policies else [],
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
        """The group's props for one type on demand, or for several and spot."""
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

    def _let_session_manager_in(self) -> None:
        self.role.add_managed_policy(
            iam.ManagedPolicy.from_aws_managed_policy_name("AmazonSSMManagedInstanceCore")
        )
        reason = (
            "Session Manager was asked for, and AWS keeps its policy up to date with what the agent"
            " calls; the account's default host management does without."
        )
        rule = "AwsSolutions::AwsSolutions-IAM4"
        policy = "[Policy::arn:<AWS::Partition>:iam::aws:policy/AmazonSSMManagedInstanceCore]"
        try:
            _acknowledge(self.role, rule + policy, reason)
        except RuntimeError:
            # Older CDKs take no such id, and their rules ask for none.
            _acknowledge(self.role, rule, reason)


def _takes_policies(scope: Construct, role: iam.IRole) -> bool:
    """Whether a role accepts a policy: one imported with `mutable=False` ignores it silently."""
    probe = iam.Policy(scope, "Probe")
    role.attach_inline_policy(probe)
    taken = Stack.of(scope).resolve(cast(iam.CfnPolicy, probe.node.default_child).roles)
    scope.node.try_remove_child("Probe")
    return bool(taken)


def _acknowledge(construct: IConstruct, id: str, reason: str) -> None:
    """Tell validators that somebody looked at a finding, and why it stays."""
    Validations.of(construct).acknowledge(Acknowledgment(id=id, reason=reason))


def _root_volume(device: str, size: Size, volume_type: ec2.EbsDeviceVolumeType) -> ec2.BlockDevice:
    return ec2.BlockDevice(
        device_name=device,
        volume=ec2.BlockDeviceVolume.ebs(
            int(size.to_gibibytes()),
            delete_on_termination=True,
            encrypted=True,
            volume_type=volume_type,
        ),
    )

"""The Auto Scaling group: launch template, role, security group, rolling updates, drain."""

from __future__ import annotations

from typing import Final, cast

import jsii
from aws_cdk import Aws, CfnCreationPolicy, CfnResourceSignal, Duration, Size
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from constructs import Construct

from worker_tier.bootstrap import Signal

#: Auto Scaling's limits for a lifecycle hook's heartbeat, in seconds.
_MIN_HEARTBEAT_SECONDS: Final = 30
_MAX_HEARTBEAT_SECONDS: Final = 7_200
#: What the daemon needs besides draining: noticing that it must go, flushing deletes.
_HEARTBEAT_MARGIN_SECONDS: Final = 60
#: Amazon Linux's root device.
_ROOT_DEVICE: Final = "/dev/xvda"
_SHEBANG: Final = "#!/bin/bash"


def hook_heartbeat_seconds(drain_timeout: int) -> int:
    """How long a leaving instance may take: never less than its drain, within EC2's limits."""
    wanted = drain_timeout + _HEARTBEAT_MARGIN_SECONDS
    return max(_MIN_HEARTBEAT_SECONDS, min(_MAX_HEARTBEAT_SECONDS, wanted))


@jsii.implements(ec2.IConnectable, iam.IGrantable)
class WorkerFleet(Construct):
    """Instances of an explicit launch template, replaced one at a time, drained before they go.

    Args:
        vpc: where instances run.
        vpc_subnets: which subnets. Default: private ones with a way out.
        security_group: Default: a new one that lets everything out and nothing in.
        associate_public_ip_address: Default: what the subnet says.
        instance_type: Default: t4g.small (Graviton).
        machine_image: Default: the newest Amazon Linux 2023 at each deployment, for the instance
            type's processor. A newer image replaces the instances.
        root_volume_size: Default: 8 GiB, gp3, encrypted.
        min_capacity, max_capacity: bounds of the group. There is no desired capacity: it would set
            the fleet back at each deployment.
        drain_timeout_seconds: what an instance gets to finish requests; sets the hook's heartbeat.
        signal_timeout: how long a deployment waits for an instance to dispatch. Not used when
            `min_capacity` is 0, for then nothing may ever start.
        instance_warmup: time from launch until an instance receives.
        notifications_topic: told of launches and terminations. Default: a new one, TLS only.
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
        machine_image: ec2.IMachineImage | None = None,
        root_volume_size: Size | None = None,
        notifications_topic: sns.ITopic | None = None,
    ) -> None:
        super().__init__(scope, id)
        self._awaits_signal = min_capacity > 0
        #: What instances may do hangs on this role by `policy`, which is there before they boot.
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
        #: The instances' one policy but for `lifecycle_policy`.
        self.policy = iam.ManagedPolicy(
            self,
            "Policy",
            description="What a worker tier's daemon and bootstrap call",
            roles=[self.role],
        )
        self.security_group: ec2.ISecurityGroup = security_group or ec2.SecurityGroup(
            self,
            "SecurityGroup",
            vpc=vpc,
            description="Worker tier instances: everything out, nothing in",
            allow_all_outbound=True,
        )
        self._connections = ec2.Connections(security_groups=[self.security_group])
        self._user_data = ec2.UserData.custom(_SHEBANG)
        kind = instance_type or ec2.InstanceType("t4g.small")
        #: One version for each change of user data or machine image.
        self.launch_template = ec2.LaunchTemplate(
            self,
            "LaunchTemplate",
            associate_public_ip_address=associate_public_ip_address,
            block_devices=[_root_volume(root_volume_size or Size.gibibytes(8))],
            detailed_monitoring=True,
            http_put_response_hop_limit=1,
            instance_type=kind,
            machine_image=machine_image or _latest_amazon_linux(kind),
            require_imdsv2=True,
            role=self.role,
            security_group=self.security_group,
            user_data=self._user_data,
        )
        #: Told of every launch and termination, and of those that failed.
        self.notifications_topic: sns.ITopic = notifications_topic or sns.Topic(
            self, "Notifications", enforce_ssl=True
        )
        #: The instances.
        self.auto_scaling_group = autoscaling.AutoScalingGroup(
            self,
            "AutoScalingGroup",
            vpc=vpc,
            vpc_subnets=vpc_subnets,
            launch_template=self.launch_template,
            min_capacity=min_capacity,
            max_capacity=max_capacity,
            default_instance_warmup=instance_warmup,
            group_metrics=[autoscaling.GroupMetrics.all()],
            health_checks=autoscaling.HealthChecks.ec2(grace_period=instance_warmup),
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
            update_policy=self._update_policy(min_capacity, max_capacity, signal_timeout),
        )
        if self._awaits_signal:
            self._await_signals(min_capacity, signal_timeout)
        self._add_termination_hook(drain_timeout_seconds)
        #: Lets an instance end its own wait on the way out. It is a policy apart because it names
        #: the group: were it part of `policy`, the group, which waits for signals of instances that
        #: need `policy`, would wait for itself.
        self.lifecycle_policy = iam.ManagedPolicy(
            self,
            "LifecyclePolicy",
            description="Lets a worker tier's instances end their own wait at termination",
            roles=[self.role],
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
        """What the bootstrap tells CloudFormation; the stack's name stays a pseudo parameter."""
        return Signal(
            stack=Aws.STACK_NAME,
            region=Aws.REGION,
            resource=self._group_resource.logical_id,
            awaited=self._awaits_signal,
        )

    def set_user_data(self, script: str) -> None:
        """Give instances the script they boot by; once, and beginning with `#!/bin/bash`.

        It names the group, and the group names the launch template that holds it, so it comes last.
        """
        first, _, rest = script.partition("\n")
        if first != _SHEBANG:
            raise ValueError(f"user data must begin with the line {_SHEBANG}, got {first!r}")
        self._user_data.add_commands(rest)

    @property
    def _group_resource(self) -> autoscaling.CfnAutoScalingGroup:
        return cast(autoscaling.CfnAutoScalingGroup, self.auto_scaling_group.node.default_child)

    def _update_policy(
        self, min_capacity: int, max_capacity: int, signal_timeout: Duration
    ) -> autoscaling.UpdatePolicy:
        return autoscaling.UpdatePolicy.rolling_update(
            max_batch_size=1,
            # CloudFormation wants this below the greatest size, or it could replace nothing.
            min_instances_in_service=min(min_capacity, max_capacity - 1),
            wait_on_resource_signals=self._awaits_signal,
            pause_time=signal_timeout if self._awaits_signal else Duration.seconds(0),
        )

    def _await_signals(self, count: int, timeout: Duration) -> None:
        # The L2's `signals` would also give the role a policy of its own to signal with, which
        # cfn-signal, speaking for the instance itself, does not need.
        self._group_resource.cfn_options.creation_policy = CfnCreationPolicy(
            resource_signal=CfnResourceSignal(count=count, timeout=timeout.to_iso_string())
        )

    def _add_termination_hook(self, drain_timeout_seconds: int) -> None:
        """A hook inside the group's own resource: a resource apart comes after the first instances,
        and goes before the last ones (aws-cdk #7712).
        """
        self._group_resource.lifecycle_hook_specification_list = [
            autoscaling.CfnAutoScalingGroup.LifecycleHookSpecificationProperty(
                lifecycle_hook_name="drain",
                lifecycle_transition="autoscaling:EC2_INSTANCE_TERMINATING",
                # An instance that does not answer goes all the same: its messages come back by
                # themselves.
                default_result="CONTINUE",
                heartbeat_timeout=hook_heartbeat_seconds(drain_timeout_seconds),
            )
        ]


def _root_volume(size: Size) -> ec2.BlockDevice:
    return ec2.BlockDevice(
        device_name=_ROOT_DEVICE,
        volume=ec2.BlockDeviceVolume.ebs(
            int(size.to_gibibytes()),
            delete_on_termination=True,
            encrypted=True,
            volume_type=ec2.EbsDeviceVolumeType.GP3,
        ),
    )


def _latest_amazon_linux(kind: ec2.InstanceType) -> ec2.IMachineImage:
    arm = kind.architecture == ec2.InstanceArchitecture.ARM_64
    return ec2.MachineImage.latest_amazon_linux2023(
        cpu_type=ec2.AmazonLinuxCpuType.ARM_64 if arm else ec2.AmazonLinuxCpuType.X86_64
    )

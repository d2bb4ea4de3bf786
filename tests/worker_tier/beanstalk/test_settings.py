"""Elastic Beanstalk's settings become the same tier as props, or are refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Duration
from aws_cdk.assertions import Annotations as AnnotationAssertions
from aws_cdk.assertions import Match
from aws_cdk.aws_autoscaling import UpdatePolicy

from sqsd.contract import SETTINGS_PATH, SqsdOptions, TierSettings
from tests.worker_tier.stacks import Synthesized, new_stack, vpc_of
from worker_tier import InvalidProps, WorkerApplication, WorkerMachineImage, WorkerTier
from worker_tier_bootstrap.user_data import files_in_user_data

GROUP = "AWS::AutoScaling::AutoScalingGroup"

SETTINGS: dict[str, dict[str, Any]] = {
    "aws:elasticbeanstalk:sqsd": {
        "HttpPath": "/work",
        "MimeType": "application/x-www-form-urlencoded",
        "HttpConnections": "20",
        "ConnectTimeout": "7",
        "InactivityTimeout": "60",
        "VisibilityTimeout": "90",
        "ErrorVisibilityTimeout": "15",
        "RetentionPeriod": "86400",
        "MaxRetries": "5",
    },
    "aws:autoscaling:asg": {"MinSize": "2", "MaxSize": "6"},
    "aws:autoscaling:trigger": {
        "MeasureName": "CPUUtilization",
        "Statistic": "Average",
        "Unit": "Percent",
        "Period": "1",
        "BreachDuration": "5",
        "UpperThreshold": "80",
        "UpperBreachScaleIncrement": "2",
        "LowerThreshold": "20",
        "LowerBreachScaleIncrement": "-10%",
    },
    "aws:autoscaling:launchconfiguration": {
        "RootVolumeSize": "20",
        "RootVolumeType": "gp3",
        "SecurityGroups": "sg-0a1b2c3d4e5f60718",
        "MonitoringInterval": "5 minute",
    },
    "aws:ec2:vpc": {
        "VPCId": "vpc-0a1b2c3d4e5f60718",
        "Subnets": "subnet-0a1b2c3d4e5f60718,subnet-1a1b2c3d4e5f60718",
        "AssociatePublicIpAddress": "false",
    },
    "aws:ec2:instances": {
        "InstanceTypes": "m7g.large, t4g.small",
        "EnableSpot": "true",
        "SpotAllocationStrategy": "lowest-price",
    },
    "aws:elasticbeanstalk:environment": {"EnvironmentType": "LoadBalanced"},
    "aws:elasticbeanstalk:command": {
        "DeploymentPolicy": "Rolling",
        "BatchSizeType": "Fixed",
        "Timeout": "900",
    },
    "aws:elasticbeanstalk:cloudwatch:logs": {
        "StreamLogs": "true",
        "DeleteOnTerminate": "true",
        "RetentionInDays": "7",
    },
}


def built(settings: Any, **props: Any) -> Synthesized:
    stack = new_stack()
    WorkerTier.from_option_settings(stack, "Worker", settings, **props)
    return Synthesized(stack)


def problems_of(settings: Any, **props: Any) -> tuple[str, ...]:
    stack = new_stack()
    with pytest.raises(InvalidProps) as caught:
        WorkerTier.from_option_settings(
            stack, "Worker", settings, **({"vpc": vpc_of(stack)} | props)
        )
    return caught.value.problems


@pytest.fixture(scope="module")
def environment() -> Synthesized:
    return built(SETTINGS)


def test_the_daemons_options_keep_their_meaning(environment: Synthesized) -> None:
    text = files_in_user_data(environment.user_data())[SETTINGS_PATH]
    assert TierSettings.from_json(text).options == SqsdOptions(
        http_path="/work",
        mime_type="application/x-www-form-urlencoded",
        http_connections=20,
        connect_timeout=7,
        inactivity_timeout=60,
        visibility_timeout=90,
        error_visibility_timeout=15,
        retention_period=86_400,
        max_retries=5,
    )


def test_the_fleet_is_the_environments(environment: Synthesized) -> None:
    group = environment.one(GROUP)
    assert (group["MinSize"], group["MaxSize"]) == ("2", "6")
    assert group["VPCZoneIdentifier"] == SETTINGS["aws:ec2:vpc"]["Subnets"].split(",")
    overrides = group["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"]
    assert [o["InstanceType"] for o in overrides] == ["m7g.large", "t4g.small"]
    assert group["MixedInstancesPolicy"]["InstancesDistribution"] == {
        "OnDemandBaseCapacity": 0,
        "OnDemandPercentageAboveBaseCapacity": 70,
        "SpotAllocationStrategy": "lowest-price",
    }
    assert "CapacityRebalance" not in group
    creation = environment.resources[environment.id_of(GROUP)]["CreationPolicy"]
    assert creation["ResourceSignal"]["Timeout"] == "PT15M"
    data = environment.one("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    assert data["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 20
    assert data["Monitoring"] == {"Enabled": False}
    assert "sg-0a1b2c3d4e5f60718" in str(data)
    assert environment.one("AWS::Logs::LogGroup")["RetentionInDays"] == 7


def test_the_trigger_scales_as_it_did(environment: Synthesized) -> None:
    up = environment.one("AWS::CloudWatch::Alarm", "ScaleOut")
    assert (up["MetricName"], up["Threshold"], up["Period"]) == ("CPUUtilization", 80, 60)
    assert up["EvaluationPeriods"] == 5
    down = environment.one("AWS::AutoScaling::ScalingPolicy", "ScaleIn")
    assert down["AdjustmentType"] == "PercentChangeInCapacity"
    assert down["StepAdjustments"][0]["ScalingAdjustment"] == -10


@pytest.mark.parametrize(
    "form",
    [
        [
            {"namespace": "aws:elasticbeanstalk:sqsd", "option_name": "MaxRetries", "value": 3},
            {"namespace": "aws:elasticbeanstalk:sqsd", "option_name": "HttpPath", "value": "/x"},
        ],
        [
            {"Namespace": "aws:elasticbeanstalk:sqsd", "OptionName": "MaxRetries", "Value": "3"},
            {"Namespace": "aws:elasticbeanstalk:sqsd", "OptionName": "HttpPath", "Value": "/x"},
            {"Namespace": "aws:autoscaling:asg", "OptionName": "Cooldown", "Value": ""},
            {"Namespace": "aws:autoscaling:asg", "OptionName": "Availability Zones"},
        ],
        {"aws:elasticbeanstalk:sqsd": {"MaxRetries": "3", "HttpPath": "/x"}},
    ],
)
def test_every_form_in_which_people_have_their_settings_is_read(form: Any) -> None:
    stack = new_stack()
    tier = WorkerTier.from_option_settings(stack, "Worker", form, vpc=vpc_of(stack))
    assert (tier.options.max_retries, tier.options.http_path) == (3, "/x")


def test_props_win_over_settings() -> None:
    stack = new_stack()
    settings = {"aws:elasticbeanstalk:sqsd": {"MaxRetries": "3", "HttpPath": "/x"}}
    tier = WorkerTier.from_option_settings(
        stack, "Worker", settings, vpc=vpc_of(stack), max_retries=7
    )
    assert (tier.options.max_retries, tier.options.http_path) == (7, "/x")


def test_a_single_instance_environment_has_no_alarms_and_no_policies() -> None:
    # given a dump of its settings, which lists the group's and the trigger's too
    settings = {
        "aws:elasticbeanstalk:environment": {"EnvironmentType": "SingleInstance"},
        "aws:autoscaling:asg": {"MinSize": "1", "MaxSize": "1"},
        "aws:autoscaling:trigger": {"MeasureName": "NetworkOut"},
    }
    stack = new_stack()
    WorkerTier.from_option_settings(stack, "Worker", settings, vpc=vpc_of(stack))
    template = Synthesized(stack)
    assert template.all("AWS::CloudWatch::Alarm") == {}
    assert template.all("AWS::AutoScaling::ScalingPolicy") == {}


def test_environment_properties_reach_the_application(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("web: python3 -m http.server $PORT\n")
    application = WorkerApplication.from_asset(str(tmp_path), environment={"MODE": "code"})
    settings = {"aws:elasticbeanstalk:application:environment": {"STAGE": "prod", "MODE": "file"}}
    stack = new_stack()
    WorkerTier.from_option_settings(
        stack, "Worker", settings, vpc=vpc_of(stack), application=application
    )
    text = Synthesized(stack).user_data()
    assert "prod" in text
    assert "code" in text


@pytest.mark.parametrize(
    ("namespace", "option", "value", "words"),
    [
        ("aws:elasticbeanstalk:sqsd", "WorkerQueueURL", "https://x", "queue=ExistingQueue"),
        ("aws:autoscaling:asg", "Cooldown", "60", "default_instance_warmup"),
        ("aws:autoscaling:launchconfiguration", "ImageId", "ami-1", "machine_image="),
        ("aws:autoscaling:launchconfiguration", "IamInstanceProfile", "orders", "pass role="),
        ("aws:autoscaling:launchconfiguration", "RootVolumeType", "io1", "must be gp3 or gp2"),
        ("aws:autoscaling:launchconfiguration", "SecurityGroups", "mine", "the id of one group"),
        (
            "aws:autoscaling:launchconfiguration",
            "DisableDefaultEC2SecurityGroup",
            "true",
            "set SecurityGroups, or pass security_group",
        ),
        ("aws:autoscaling:scheduledaction", "MinSize", "1", "tier.scale_on_schedule"),
        ("aws:elasticbeanstalk:application", "Application Healthcheck URL", "x", "begins with /"),
        ("aws:elasticbeanstalk:command", "DeploymentPolicy", "Immutable", "would scale in"),
        ("aws:autoscaling:launchconfiguration", "EC2KeyName", "me", "session_manager=True"),
        (
            "aws:elasticbeanstalk:command",
            "DeploymentPolicy",
            "Fast",
            "must be AllAtOnce or Rolling",
        ),
        ("aws:elasticbeanstalk:cloudwatch:logs", "RetentionInDays", "8", "must be one of 1, 3"),
        ("aws:elasticbeanstalk:sqsd", "MaxRetries", "many", "must be a whole number, got 'many'"),
        ("aws:elasticbeanstalk:sqsd", "Speed", "11", "is not an option that is known here"),
        ("aws:elasticbeanstalk:xray", "XRayEnabled", "true", "no X-Ray daemon"),
        ("aws:elbv2:listener", "Protocol", "HTTP", "is not a namespace that is known"),
        ("aws:elasticbeanstalk:application:environment", "A", "1", "pass application="),
        ("aws:autoscaling:trigger", "UpperThreshold", "hot", "has a value of another kind"),
        ("aws:ec2:instances", "EnableSpot", "true", "EnableSpot needs InstanceTypes"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name_with_the_reason(
    namespace: str, option: str, value: str, words: str
) -> None:
    (problem,) = problems_of({namespace: {option: value}})
    assert namespace in problem
    assert option in problem
    assert words in problem


def test_all_that_cannot_be_honoured_is_reported_at_once() -> None:
    found = problems_of(
        {
            "aws:elasticbeanstalk:sqsd": {"Speed": "11", "MaxRetries": "many"},
            "aws:autoscaling:asg": {"Cooldown": "60"},
        },
        vpc=None,
    )
    assert len(found) == 4
    assert "vpc is needed" in found[-1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {
                "aws:elasticbeanstalk:command": {
                    "DeploymentPolicy": "Rolling",
                    "BatchSizeType": "Fixed",
                    "BatchSize": "30",
                }
            },
            "BatchSize (30) cannot be honoured: instances are replaced one at a time",
        ),
        (
            {
                "aws:elasticbeanstalk:cloudwatch:logs": {
                    "StreamLogs": "true",
                    "DeleteOnTerminate": "false",
                }
            },
            "the tier's log group goes with its stack",
        ),
        (
            {
                "aws:autoscaling:trigger": {
                    "MeasureName": "CPUUtilization",
                    "Unit": "Bytes",
                    "UpperThreshold": "80",
                    "LowerThreshold": "20",
                }
            },
            "Unit ('Bytes') must be Percent for CPUUtilization",
        ),
    ],
)
def test_settings_that_lose_something_together_are_refused(
    settings: dict[str, Any], words: str
) -> None:
    (problem,) = problems_of(settings)
    assert words in problem


def test_a_measure_without_a_unit_has_its_own() -> None:
    template = built(
        {
            "aws:autoscaling:trigger": {
                "MeasureName": "CPUUtilization",
                "UpperThreshold": "80",
                "LowerThreshold": "20",
            },
            "aws:ec2:vpc": SETTINGS["aws:ec2:vpc"],
        }
    )
    assert template.one("AWS::CloudWatch::Alarm", "ScaleOut")["Unit"] == "Percent"


@pytest.mark.parametrize(
    ("namespace", "option", "value", "props"),
    [
        (
            "aws:autoscaling:launchconfiguration",
            "ImageId",
            "ami-1",
            {"machine_image": WorkerMachineImage.debian_12()},
        ),
        ("aws:autoscaling:launchconfiguration", "EC2KeyName", "me", {"session_manager": True}),
        (
            "aws:elasticbeanstalk:command",
            "DeploymentPolicy",
            "Immutable",
            {"update_policy": UpdatePolicy.replacing_update()},
        ),
        ("aws:autoscaling:asg", "Cooldown", "9", {"default_instance_warmup": Duration.minutes(1)}),
    ],
)
def test_a_prop_answers_what_a_setting_asks_in_vain(
    namespace: str, option: str, value: str, props: dict[str, Any]
) -> None:
    stack = new_stack()
    settings = {namespace: {option: value}}
    WorkerTier.from_option_settings(stack, "Worker", settings, vpc=vpc_of(stack), **props)


def test_a_spot_environments_defaults_follow_its_type() -> None:
    settings = {
        "aws:ec2:instances": {"InstanceTypes": "t4g.small", "EnableSpot": "true"},
        "aws:elasticbeanstalk:environment": {"EnvironmentType": "SingleInstance"},
        "aws:ec2:vpc": SETTINGS["aws:ec2:vpc"],
        "aws:autoscaling:asg": {"EnableCapacityRebalancing": "true"},
    }
    group = built(settings).one(GROUP)
    distribution = group["MixedInstancesPolicy"]["InstancesDistribution"]
    assert distribution["OnDemandPercentageAboveBaseCapacity"] == 0
    assert distribution["SpotAllocationStrategy"] == "capacity-optimized"
    assert group["CapacityRebalance"] is True


# ---- a whole environment

DUMP = json.loads(
    (Path(__file__).parent / "data" / "worker_environment.json").read_text(encoding="utf-8")
)


def test_all_that_describe_configuration_settings_prints_of_a_stock_worker_is_read(
    tmp_path: Path,
) -> None:
    # given a dump as the command prints it, with Elastic Beanstalk's defaults, and what no dump
    # has: the application, and the system behind an image's id
    (tmp_path / "application.py").write_text("application = None\n")
    (tmp_path / "Procfile").write_text("web: python3 -m http.server $PORT\n")
    stack = new_stack()
    tier = WorkerTier.from_option_settings(
        stack,
        "Worker",
        DUMP,
        application=WorkerApplication.from_asset(str(tmp_path)),
        machine_image=WorkerMachineImage.amazon_linux_2023(),
    )
    # then it is the environment
    assert tier.options == SqsdOptions(error_visibility_timeout=2)
    template = Synthesized(stack)
    group = template.one(GROUP)
    assert (group["MinSize"], group["MaxSize"]) == ("1", "4")
    data = template.one("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    assert data["InstanceType"] == "t3.micro"
    assert template.one("AWS::CloudWatch::Alarm", "ScaleOut")["MetricName"] == "NetworkOut"
    assert template.one("AWS::Logs::LogGroup")["RetentionInDays"] == 30
    # and a warning says what does not come along
    warnings = AnnotationAssertions.from_stack(stack).find_warning(
        "*", Match.string_like_regexp("grant it to the tier")
    )
    assert len(warnings) == 1


def test_a_dump_asks_for_no_more_than_the_image_and_the_application() -> None:
    stack = new_stack()
    with pytest.raises(InvalidProps) as caught:
        WorkerTier.from_option_settings(stack, "Worker", DUMP)
    image, application = sorted(caught.value.problems)
    assert "ImageId" in image
    assert "pass application=" in application


def test_none_switches_off_beside_settings_what_it_switches_off_without_them() -> None:
    stack = new_stack()
    tier = WorkerTier.from_option_settings(
        stack,
        "Worker",
        SETTINGS,
        vpc=vpc_of(stack),
        metrics_namespace=None,
        status_port=None,
        http_path=None,
    )
    assert (tier.options.metrics_namespace, tier.options.status_port) == (None, None)
    # for any other prop None is no choice, so the setting counts
    assert tier.options.http_path == SETTINGS["aws:elasticbeanstalk:sqsd"]["HttpPath"]


def test_settings_make_a_tier_of_the_class_that_is_asked() -> None:
    class MyTier(WorkerTier):
        pass

    stack = new_stack()
    tier = MyTier.from_option_settings(stack, "Worker", SETTINGS, vpc=vpc_of(stack))
    assert type(tier) is MyTier

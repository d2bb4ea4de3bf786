"""Settings documents as people have them, each with what must become of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from worker_tier_bootstrap.beanstalk import (
    PROCFILE,
    NetworkSettings,
    Reference,
    ScheduledAction,
    SpotSettings,
    Text,
    TriggerSettings,
)


@dataclass(frozen=True, kw_only=True)
class Document:
    """A document and its reading.

    Args:
        settings: fields of the typed settings; all other fields have their defaults.
        refused: for each refusal, in order, words of its text.
        warned: for each finding that warns, in order, words of its text.
    """

    name: str
    text: str
    decided: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()


def text(*parts: str | Reference) -> Text:
    return Text(parts)


#: The time with which the documents' scheduled actions are compared.
NOW = datetime(2026, 11, 28, tzinfo=UTC)
SQSD = {"sqsd": {"http_path": "/worker"}}
GROUP_SEEN = "sg-0a1b2c3d4e5f60718"

DOCUMENTS = [
    # ---- forms
    Document(
        name="a mapping by namespace",
        text="aws:elasticbeanstalk:sqsd:\n  HttpPath: /worker\n",
        settings=SQSD,
    ),
    Document(
        name="a list of ebextensions",
        text="""
- namespace: aws:elasticbeanstalk:sqsd
  option_name: HttpPath
  value: /worker
""",
        settings=SQSD,
    ),
    Document(
        name="an entry without a namespace is an environment property",
        text="- option_name: DJANGO_SETTINGS_MODULE\n  value: proj.settings\n",
        settings={"environment": {"DJANGO_SETTINGS_MODULE": text("proj.settings")}},
    ),
    Document(
        name="the API's list",
        text='[{"Namespace": "aws:elasticbeanstalk:sqsd", "OptionName": "HttpPath",'
        ' "Value": "/worker"}]',
        settings=SQSD,
    ),
    Document(
        name="Terraform's setting blocks as JSON",
        text='{"setting": [{"namespace": "aws:elasticbeanstalk:sqsd", "name": "HttpPath",'
        ' "value": "/worker", "resource": ""}]}',
        settings=SQSD,
    ),
    Document(
        name="a whole .config file with a list",
        text="""
option_settings:
  - namespace: aws:elasticbeanstalk:sqsd
    option_name: HttpPath
    value: /worker
container_commands:
  01_migrate:
    command: python manage.py migrate
    leader_only: true
""",
        settings=SQSD,
        warned=("`container_commands` is no option setting",),
    ),
    Document(
        name="a whole .config file in JSON with a mapping",
        text="""{
  "option_settings": {"aws:elasticbeanstalk:sqsd": {"HttpPath": "/worker"}},
  "packages": {"yum": {"git": []}},
  "Resources": {"AWSEBAutoScalingGroup": {"Metadata": {}}}
}""",
        settings=SQSD,
        warned=("`packages` is no option setting", "`Resources` is no option setting"),
    ),
    Document(
        name="a .config file without option settings",
        text="packages:\n  yum:\n    git: []\nfiles:\n  /etc/motd:\n    content: hello\n",
        warned=("`packages` is no option", "`files` is no option"),
    ),
    Document(
        name="a saved configuration",
        text="""
EnvironmentConfigurationMetadata:
  DateCreated: '1431853640000'
AWSConfigurationTemplateVersion: 1.1.0.0
EnvironmentTier:
  Name: Worker
  Type: SQS/HTTP
Platform:
  PlatformArn: arn:aws:elasticbeanstalk:eu-west-1::platform/Node.js 20/6.1.0
OptionSettings:
  aws:elasticbeanstalk:sqsd:
    HttpPath: /worker
  AWSEBAutoScalingScaleUpPolicy.aws:autoscaling:trigger:
    UpperBreachScaleIncrement: '2'
  AWSEBCloudwatchAlarmHigh.aws:autoscaling:trigger:
    UpperThreshold: '80'
    MeasureName: CPUUtilization
    Unit: Percent
  AWSEBCloudwatchAlarmLow.aws:autoscaling:trigger:
    LowerThreshold: '20'
Tags:
  Team: orders
""",
        settings={
            **SQSD,
            "trigger": TriggerSettings(
                metric_name="CPUUtilization",
                unit="Percent",
                upper_threshold=80,
                upper_increment=2,
                lower_threshold=20,
            ),
        },
        warned=("Tags are no option settings",),
    ),
    Document(
        name="what eb config prints",
        text="""
ApplicationName: orders
DateUpdated: 2026-06-18 21:42:24+00:00
EnvironmentName: orders-worker
PlatformArn: arn:aws:elasticbeanstalk:eu-west-1::platform/Python 3.11/4.3.0
settings:
  AWSEBAutoScalingScaleUpPolicy.aws:autoscaling:trigger:
    UpperBreachScaleIncrement: '2'
  aws:elasticbeanstalk:sns:topics:
    Notification Endpoint: null
  aws:elasticbeanstalk:sqsd:
    HttpPath: /worker
""",
        settings={**SQSD, "trigger": TriggerSettings(upper_increment=2)},
    ),
    Document(
        name="Terraform's state",
        text='{"version": 4, "terraform_version": "1.9.0", "resources": []}',
        refused=("but `terraform_version`; this is Terraform's state or plan; pass the list",),
    ),
    Document(
        name="Terraform's list of all settings",
        text='{"all_settings": [{"name": "HttpPath", "namespace": "aws:elasticbeanstalk:sqsd",'
        ' "resource": "", "value": "/worker"}]}',
        settings=SQSD,
    ),
    Document(
        name="an env.yaml",
        text="""
AWSConfigurationTemplateVersion: 1.1.0.0
SolutionStack: 64bit Amazon Linux 2023 v4.3.0 running Python 3.11
CName: orders+
EnvironmentName: orders-worker+
EnvironmentLinks:
  WORKERQUEUE: front+
OptionSettings:
  aws:elasticbeanstalk:sqsd: {HttpPath: /worker}
""",
        settings=SQSD,
        warned=("`EnvironmentLinks` is not known",),
    ),
    Document(
        name="all that describe-configuration-settings prints",
        text="""{"ConfigurationSettings": [{"ApplicationName": "orders",
  "DeploymentStatus": "deployed", "Tier": {"Name": "Worker", "Type": "SQS/HTTP", "Version": ""},
  "OptionSettings": [
    {"Namespace": "aws:elasticbeanstalk:sqsd", "OptionName": "HttpPath", "Value": "/worker"},
    {"Namespace": "aws:autoscaling:asg", "OptionName": "Cooldown",
     "ResourceName": "AWSEBAutoScalingGroup", "Value": "360"},
    {"Namespace": "aws:elasticbeanstalk:sqsd", "OptionName": "ErrorVisibilityTimeout", "Value": ""},
    {"Namespace": "aws:elasticbeanstalk:sns:topics", "OptionName": "Notification Endpoint"}
  ]}]}""",
        settings=SQSD,
    ),
    Document(
        name="the one described environment alone",
        text='[{"EnvironmentName": "w", "OptionSettings": ['
        '{"Namespace": "aws:elasticbeanstalk:sqsd", "OptionName": "HttpPath", '
        '"Value": "/worker"}]}]',
        settings=SQSD,
    ),
    Document(
        name="a dump with a pending and a deployed set",
        text="""{"ConfigurationSettings": [
  {"DeploymentStatus": "deployed", "EnvironmentName": "w", "OptionSettings": [
    {"Namespace": "aws:elasticbeanstalk:sqsd", "OptionName": "HttpPath", "Value": "/worker"}]},
  {"DeploymentStatus": "pending", "EnvironmentName": "w", "OptionSettings": [
    {"Namespace": "aws:elasticbeanstalk:sqsd", "OptionName": "HttpPath", "Value": "/other"}]}]}""",
        refused=("2 sets of settings: deployed w, pending w; pass one of them",),
    ),
    Document(
        name="an empty dump",
        text='{"ConfigurationSettings": []}',
        refused=("ConfigurationSettings is empty: no environment was found",),
    ),
    Document(
        name="an environment without settings",
        text='{"ConfigurationSettings": [{"OptionSettings": []}]}',
        refused=("OptionSettings is empty",),
    ),
    Document(name="an empty file", text="# nothing yet\n", refused=("the document is empty",)),
    Document(name="an empty list", text="[]", refused=("the document is empty",)),
    Document(
        name="option_settings without anything",
        text="option_settings:\n",
        refused=("option_settings is empty",),
    ),
    Document(
        name="a file's name in place of its text",
        text="settings.json",
        refused=("the document is a text, got a text of 13 characters; pass the text",),
    ),
    Document(
        name="Terraform's own language",
        text='setting {\n  namespace = "aws:elasticbeanstalk:sqsd"\n  name = "HttpPath"\n}\n',
        refused=("write Terraform's settings as a list",),
    ),
    Document(
        name="the options that there are",
        text='{"SolutionStackName": "x", "Options": [{"Namespace": "aws:autoscaling:asg"}]}',
        refused=("no option settings, but `Options`; this lists the options that there are",),
    ),
    Document(
        name="a cron.yaml",
        text="version: 1\ncron: []\n",
        refused=("this is a cron.yaml; pass it as periodic_tasks=",),
    ),
    Document(
        name="a web server's settings",
        text="""
EnvironmentTier: {Name: WebServer, Type: Standard}
OptionSettings:
  aws:autoscaling:asg: {MinSize: '2', MaxSize: '6'}
  aws:elbv2:listener:443: {Protocol: HTTPS, SSLCertificateArns: arn:x}
""",
        settings={"min_capacity": 2, "max_capacity": 6},
        warned=(
            "those of a WebServer environment, which has no queue",
            "aws:elbv2:listener:443:Protocol ('HTTPS') is passed over: a worker has no load bal",
            "aws:elbv2:listener:443:SSLCertificateArns",
        ),
    ),
    Document(
        name="entries with mistakes",
        text="""
- namespace: aws:elasticbeanstalk:sqsd
  value: /worker
- HttpPath
- namespace: aws:elasticbeanstalk:sqsd
  option_name: HttpPath
  value: /worker
  comment: ours
""",
        settings=SQSD,
        refused=("without its optionname: namespace, value", "must be a mapping, got a text of 8"),
        warned=("`comment` is not known",),
    ),
    Document(
        name="an environment property outside of a namespace",
        text="STAGE: prod\n",
        refused=("STAGE must have options, got a text of 4 characters; write it under the names",),
    ),
    Document(
        name="an option that is set twice",
        text="""
- {option_name: STAGE, value: test}
- {option_name: STAGE, value: prod}
""",
        settings={"environment": {"STAGE": text("prod")}},
        warned=("environment:STAGE is set again later, which wins; remove one",),
    ),
    # ---- values
    Document(
        name="values as Elastic Beanstalk types them",
        text="""
option_settings:
  aws:elasticbeanstalk:application:environment:
    DEBUG: False
    CACHE: yes
    VERSION: 1.10
    ZIP: 01234
    SINCE: 2015-04-28T04:07:02Z
    EMPTY:
    QUOTED: "False"
    ON: 1
""",
        settings={
            "environment": {
                "DEBUG": text("false"),
                "CACHE": text("true"),
                "VERSION": text("1.10"),
                "ZIP": text("01234"),
                "SINCE": text("2015-04-28T04:07:02Z"),
                "QUOTED": text("False"),
                "ON": text("1"),
            }
        },
    ),
    Document(
        name="numbers of JSON as they were written",
        text='{"aws:elasticbeanstalk:application:environment":'
        ' {"RATE": 1.50, "N": 1e3, "T": true}}',
        settings={"environment": {"RATE": text("1.50"), "N": text("1e3"), "T": text("true")}},
    ),
    Document(
        name="the daemon's options",
        text="""
aws:elasticbeanstalk:sqsd:
  ConnectTimeout: 7
  ErrorVisibilityTimeout: 0
  HttpConnections: 20
  HttpPath: /work
  InactivityTimeout: 60
  MaxRetries: 5
  MimeType: text/plain
  RetentionPeriod: 86400
  VisibilityTimeout: 90
""",
        settings={
            "sqsd": {
                "connect_timeout": 7,
                "error_visibility_timeout": 0,
                "http_connections": 20,
                "http_path": "/work",
                "inactivity_timeout": 60,
                "max_retries": 5,
                "mime_type": "text/plain",
                "retention_period": 86_400,
                "visibility_timeout": 90,
            }
        },
    ),
    Document(
        name="the daemon's options out of their ranges",
        text="aws:elasticbeanstalk:sqsd: {MaxRetries: many, HttpConnections: 0, HttpPath: work}\n",
        refused=(
            "MaxRetries must be a whole number, got 'many'",
            "HttpConnections must be a whole number from 1 to 100, got '0'",
            "HttpPath must be ",
        ),
    ),
    Document(
        name="several lines in an environment property",
        text="aws:elasticbeanstalk:application:environment:\n  KEY: |\n    first\n    second\n",
        refused=("KEY: an environment property must be text of one line; put the text into",),
    ),
    Document(
        name="names that no environment property can have",
        text='{"aws:elasticbeanstalk:application:environment": {"spring.profiles.active": "w"}}',
        refused=("'spring.profiles.active' must have a name of letters, digits, _; rename it, s",),
    ),
    Document(
        name="more than fits into an environment",
        text=f"aws:elasticbeanstalk:application:environment: {{A: {'a' * 4100}}}\n",
        settings={"environment": {"A": text("a" * 4100)}},
        refused=("environment properties take 4102 bytes and may take 4096",),
    ),
    Document(
        name="PORT is the port",
        text='{"aws:elasticbeanstalk:application:environment": {"PORT": "3000", "A": "1"}}',
        settings={"port": 3000, "environment": {"A": text("1")}},
    ),
    Document(
        name="a PORT that is no port",
        text="aws:elasticbeanstalk:application:environment: {PORT: http}\n",
        refused=("PORT must be a whole number (its value is not shown)",),
    ),
    # ---- functions
    Document(
        name="functions in backticks",
        text="""
aws:elasticbeanstalk:application:environment:
  AWS_REGION: '`{"Ref" : "AWS::Region"}`'
  QUEUE: '`{"Ref": "AWSEBWorkerQueue"}`'
  TOPIC: 'arn:aws:sns:`{"Ref": "AWS::Region"}`:orders'
  LITERAL: '`date`'
  TABLE: '`{"Fn::GetAtt" : ["Table", "Arn"]}`'
""",
        settings={
            "environment": {
                "AWS_REGION": text(Reference.REGION),
                "QUEUE": text(Reference.QUEUE_URL),
                "TOPIC": text("arn:aws:sns:", Reference.REGION, ":orders"),
                "LITERAL": text("`date`"),
            }
        },
        refused=("TABLE cannot be honoured: Fn::GetAtt (Table.Arn) cannot be resolved",),
    ),
    Document(
        name="functions as data and in the short form",
        text="""
option_settings:
  aws:elasticbeanstalk:application:environment:
    A: {Ref: "AWS::StackName"}
    B: !Sub "https://sqs.${AWS::Region}.${AWS::URLSuffix}/${!literal}"
    C: !Join ["-", [a, !Ref "AWS::AccountId", c]]
    D: !GetAtt AWSEBWorkerQueue.Arn
    E: !Select [1, !Split [",", "x,y,z"]]
    F: !Ref AWS::NoValue
    G: !ImportValue Shared-Table
    H: !Sub ["${Name}-w", {Name: orders}]
""",
        settings={
            "environment": {
                "A": text(Reference.STACK_NAME),
                "B": text(
                    "https://sqs.", Reference.REGION, ".", Reference.URL_SUFFIX, "/${literal}"
                ),
                "C": text("a-", Reference.ACCOUNT_ID, "-c"),
                "D": text(Reference.QUEUE_ARN),
                "E": text("y"),
                "H": text("orders-w"),
            }
        },
        refused=("G cannot be honoured: Fn::ImportValue cannot be resolved",),
    ),
    Document(
        name="a whole template with conditions and mappings",
        text="""
AWSTemplateFormatVersion: '2010-09-09'
Parameters:
  Stage: {Type: String, Default: test}
Mappings:
  Sizes: {orders: {Most: '6'}}
Conditions:
  IsProd: !Equals [!Ref Stage, prod]
Resources:
  Application: {Type: AWS::ElasticBeanstalk::Application}
  Web:
    Type: AWS::ElasticBeanstalk::Environment
    Properties: {Tier: {Name: WebServer}, OptionSettings: []}
  Worker:
    Type: AWS::ElasticBeanstalk::Environment
    Condition: IsProd
    Properties:
      Tier: {Name: Worker, Type: SQS/HTTP}
      OptionSettings:
        - {Namespace: aws:elasticbeanstalk:sqsd, OptionName: HttpPath, Value: /worker}
        - Namespace: aws:autoscaling:asg
          OptionName: MaxSize
          Value: !FindInMap [Sizes, orders, Most]
        - Namespace: aws:autoscaling:asg
          OptionName: MinSize
          Value: !If [IsProd, 2, 1]
        - Namespace: aws:ec2:vpc
          OptionName: VPCId
          Value: !Ref Vpc
        - !If [IsProd, {Namespace: a, OptionName: b, Value: c}, !Ref "AWS::NoValue"]
""",
        settings={**SQSD, "max_capacity": 6},
        refused=(
            "MinSize cannot be honoured: Fn::If cannot be resolved: a condit",
            "VPCId cannot be honoured: Ref (Vpc) cannot be resolved",
            "an entry is Fn::If, which is decided when the template is deployed",
        ),
        warned=("Worker is made only on the condition IsProd",),
    ),
    Document(
        name="a template without an environment",
        text="Resources: {Queue: {Type: AWS::SQS::Queue}}\n",
        refused=("no resource of the type AWS::ElasticBeanstalk::Environment",),
    ),
    Document(
        name="a template with two workers",
        text="""
Resources:
  A: {Type: AWS::ElasticBeanstalk::Environment, Properties: {Tier: {Name: Worker}}}
  B: {Type: AWS::ElasticBeanstalk::Environment, Properties: {Tier: {Name: Worker}}}
""",
        refused=("the template has 2 environments: A, B; pass the OptionSettings of",),
    ),
    Document(
        name="an option setting that reads another",
        text="""
option_settings:
  aws:elasticbeanstalk:customoption:
    Table: orders
  aws:elasticbeanstalk:application:environment:
    TABLE: '`{"Fn::GetOptionSetting": {"OptionName": "Table", "DefaultValue": "none"}}`'
    OTHER: '`{"Fn::GetOptionSetting": {"OptionName": "Other", "DefaultValue": "none"}}`'
    LOST: '`{"Fn::GetOptionSetting": {"OptionName": "Lost"}}`'
""",
        settings={"environment": {"TABLE": text("orders"), "OTHER": text("none")}},
        refused=("LOST cannot be honoured: Fn::GetOptionSetting (aws:elasticbeanstalk:customopti",),
        warned=("customoption:Table (not shown) is passed over",),
    ),
    Document(
        name="a reference where a literal must stand",
        text="aws:elasticbeanstalk:sqsd: {HttpPath: !Sub '/${AWS::Region}'}\n",
        refused=("HttpPath ('/${AWS::Region}') cannot be honoured: it is known only when",),
    ),
    Document(
        name="a dynamic reference",
        text="aws:elasticbeanstalk:application:environment:\n"
        "  PASSWORD: '{{resolve:secretsmanager:db:SecretString:password}}'\n",
        refused=("PASSWORD cannot be honoured: {{resolve:...}} is a dynamic reference",),
    ),
    # ---- instances
    Document(
        name="spot instances",
        text="""
aws:ec2:instances:
  EnableSpot: true
  InstanceTypes: [m7g.large, t4g.small]
  SpotAllocationStrategy: lowest-price
  SupportedArchitectures: arm64
aws:autoscaling:asg: {EnableCapacityRebalancing: true}
""",
        settings={
            "instance_types": ("m7g.large", "t4g.small"),
            "spot": SpotSettings(
                on_demand_base=0,
                on_demand_percentage=70,
                allocation_strategy="lowest-price",
                capacity_rebalance=True,
            ),
        },
    ),
    Document(
        name="spot without types, and types of another processor",
        text="aws:ec2:instances: {EnableSpot: 'true'}\n",
        refused=("EnableSpot ('true') cannot be honoured: EnableSpot needs InstanceTypes",),
    ),
    Document(
        name="types of another processor",
        text="aws:ec2:instances: {InstanceTypes: 't4g.small,m5.large', SupportedArchitectures:"
        " arm64}\n",
        settings={"instance_types": ("t4g.small", "m5.large")},
        refused=("SupportedArchitectures is arm64, but m5.large is not",),
    ),
    Document(
        name="one instance, whose dump lists a group and a trigger",
        text="""
aws:elasticbeanstalk:environment: {EnvironmentType: SingleInstance}
aws:autoscaling:asg: {MinSize: '1', MaxSize: '1'}
aws:autoscaling:trigger: {MeasureName: NetworkOut}
""",
        settings={"single_instance": True},
    ),
    Document(
        name="a network, its own groups and a volume",
        text=f"""
aws:ec2:vpc:
  VPCId: vpc-1
  Subnets: subnet-1,subnet-2
  AssociatePublicIpAddress: true
  ELBScheme: public
  ELBSubnets: subnet-3
aws:autoscaling:launchconfiguration:
  SecurityGroups: awseb-e-x-stack-AWSEBSecurityGroup-1A2B3C, {GROUP_SEEN}
  RootVolumeSize: 20
  RootVolumeType: GP3
  MonitoringInterval: 1 minute
  InstanceType: t3.small
""",
        settings={
            "network": NetworkSettings(vpc_id="vpc-1", subnet_ids=("subnet-1", "subnet-2")),
            "associate_public_ip_address": True,
            "security_group": GROUP_SEEN,
            "root_volume_size": 20,
            "root_volume_type": "gp3",
            "detailed_monitoring": True,
            "instance_types": ("t3.small",),
        },
        warned=("aws:ec2:vpc:ELBSubnets ('subnet-3') is passed over: a worker has no load",),
    ),
    Document(
        name="groups by name, and half of a network",
        text="aws:autoscaling:launchconfiguration: {SecurityGroups: mine, RootVolumeType: io1}\n"
        "aws:ec2:vpc: {VPCId: vpc-1}\n",
        refused=(
            "SecurityGroups (mine) must be the id of one group",
            "RootVolumeType must be gp3 or gp2 or standard, got 'io1'",
            "aws:ec2:vpc:VPCId and aws:ec2:vpc:Subnets are needed together; give both, or pass",
        ),
    ),
    Document(
        name="half of a network beside vpc= in code",
        text="aws:ec2:vpc: {VPCId: vpc-1}\n",
        decided=("vpc",),
    ),
    Document(
        name="what props in code decide",
        text="""
aws:autoscaling:launchconfiguration:
  EC2KeyName: me
  ImageId: ami-1
  SecurityGroups: a,b
  DisableDefaultEC2SecurityGroup: true
aws:elasticbeanstalk:command: {DeploymentPolicy: Immutable, BatchSizeType: Fixed, BatchSize: 3}
aws:elasticbeanstalk:sqsd: {WorkerQueueURL: 'https://sqs.eu-west-1.amazonaws.com/1/orders'}
""",
        decided=("session_manager", "machine_image", "security_group", "update_policy", "queue"),
        settings={"deployment": ("AllAtOnce", 3, "Fixed")},
        warned=(
            "session_manager, given in code, wins over",
            "machine_image, given in code, wins over aws:autoscaling:launchconfiguration:ImageId",
            "security_group, given in code, wins over aws:autoscaling:launchconfiguration:Secur",
            "update_policy, given in code, wins over aws:elasticbeanstalk:command:DeploymentPol",
            "queue, given in code, wins over aws:elasticbeanstalk:sqsd:WorkerQueueURL",
        ),
    ),
    Document(
        name="values that cannot be read, beside props that decide",
        text="""
aws:elasticbeanstalk:sqsd: {MaxRetries: many, HttpPath: !Sub '/${Stage}', MimeType: !Ref Type}
aws:autoscaling:asg: {MinSize: !If [IsProd, 2, 1]}
aws:ec2:instances: {EnableSpot: maybe}
""",
        decided=("max_retries", "http_path", "mime_type", "min_capacity", "capacity"),
        warned=(
            "max_retries, given in code, wins over aws:elasticbeanstalk:sqsd:MaxRetries ('many')",
            "http_path, given in code, wins over aws:elasticbeanstalk:sqsd:HttpPath",
            "mime_type, given in code, wins over aws:elasticbeanstalk:sqsd:MimeType",
            "min_capacity, given in code, wins over aws:autoscaling:asg:MinSize",
            "capacity, given in code, wins over aws:ec2:instances:EnableSpot ('maybe')",
        ),
    ),
    Document(
        name="scheduled actions, each by its ResourceName",
        text="""
option_settings:
  - {namespace: aws:autoscaling:scheduledaction, resource_name: Day, option_name: MinSize, value: 2}
  - {namespace: aws:autoscaling:scheduledaction, resource_name: Night, option_name: MinSize,
     value: 1}
  - {namespace: aws:autoscaling:scheduledaction, resource_name: Day, option_name: Recurrence,
     value: "0 8 * * *"}
  - {namespace: aws:autoscaling:scheduledaction, resource_name: Night, option_name: Recurrence,
     value: "0 20 * * *"}
  - {namespace: aws:autoscaling:scheduledaction, resource_name: Night, option_name: StartTime,
     value: 2026-12-01T00:00:00Z}
  - {namespace: aws:autoscaling:scheduledaction, resource_name: Once, option_name: StartTime,
     value: 2026-12-24T00:00:00Z}
  - {namespace: aws:autoscaling:scheduledaction, resource_name: Off, option_name: Suspend,
     value: true}
  - {namespace: aws:autoscaling:scheduledaction, option_name: MinSize, value: 1}
""",
        settings={
            "scheduled_actions": (
                ScheduledAction(name="Day", recurrence="0 8 * * *", min_capacity=2),
                ScheduledAction(
                    name="Night",
                    recurrence="0 20 * * *",
                    min_capacity=1,
                    start_time=datetime(2026, 12, 1, tzinfo=UTC),
                ),
            )
        },
        refused=(
            "(Once: StartTime) cannot be honoured: it lacks a Recurrence, so it runs once",
            "(without a ResourceName: MinSize) cannot be honoured: it lacks a ResourceName",
        ),
        warned=("(Off: Suspend) is passed over: it is suspended",),
    ),
    # ---- deployments, logs, health
    Document(
        name="rolling in batches",
        text="aws:elasticbeanstalk:command: {DeploymentPolicy: Rolling, BatchSizeType: Fixed,"
        " BatchSize: 30, Timeout: 900}\n",
        settings={"signal_timeout": 900, "deployment": ("Rolling", 1, "Fixed")},
        refused=("BatchSize (30) cannot be honoured: instances are replaced one at a time",),
    ),
    Document(
        name="policies that are not what happens here",
        text="aws:elasticbeanstalk:command: {DeploymentPolicy: TrafficSplitting}\n"
        "aws:elasticbeanstalk:trafficsplitting: {NewVersionPercent: 25, EvaluationTime: 5}\n"
        "aws:autoscaling:updatepolicy:rollingupdate: {RollingUpdateType: Immutable,"
        " MaxBatchSize: 3, RollingUpdateEnabled: true}\n",
        settings={"deployment": ("AllAtOnce", 100, "Percentage")},
        refused=(
            "DeploymentPolicy ('TrafficSplitting') cannot be honoured: a worker has no load",
            "RollingUpdateType ('Immutable') cannot be honoured: a new group starts at MinSize",
        ),
        warned=(
            "NewVersionPercent ('25') is passed over: a worker has no traffic to split",
            "MaxBatchSize ('3') is passed over: a new setting replaces instances one at a time",
        ),
    ),
    Document(
        name="logs that were streamed and retained",
        text="aws:elasticbeanstalk:cloudwatch:logs: {StreamLogs: true, RetentionInDays: 7}\n",
        settings={"log_retention": 7},
        refused=("DeleteOnTerminate ('false') cannot be honoured: the tier's log group goes",),
    ),
    Document(
        name="a health check with a protocol and a port",
        text="aws:elasticbeanstalk:application: {Application Healthcheck URL: 'HTTP:80/health'}\n",
        settings={"health_path": "/health"},
    ),
    Document(
        name="a health check by HTTPS",
        text="aws:elasticbeanstalk:application: {Application Healthcheck URL: 'HTTPS:443/'}\n",
        refused=("must be a path that begins with /, for the daemon checks port 80 by HTTP only",),
    ),
    Document(
        name="enhanced health with metrics, as a mapping",
        text="""
aws:elasticbeanstalk:healthreporting:system:
  SystemType: enhanced
  ConfigDocument:
    Version: 1
    CloudWatchMetrics:
      Environment: {ApplicationRequestsTotal: 60}
      Instance: {LoadAverage1min: 60}
""",
        warned=("ConfigDocument",),
    ),
    # ---- platforms
    Document(
        name="known options with a value that is not the default",
        text="""
aws:elasticbeanstalk:managedactions:
  ManagedActionsEnabled: 'true'
  PreferredStartTime: 'Sun:10:00'
aws:elasticbeanstalk:hostmanager: {LogPublicationControl: 'true'}
aws:elasticbeanstalk:cloudwatch:logs:health: {HealthStreamingEnabled: 'true'}
aws:elasticbeanstalk:monitoring: {Automatically Terminate Unhealthy Instances: 'false'}
aws:elasticbeanstalk:container:php:phpini: {document_root: /public, memory_limit: 256M}
aws:elasticbeanstalk:container:nodejs: {NodeCommand: npm start}
aws:elasticbeanstalk:environment:proxy:staticfiles: {/static: static}
aws:elasticbeanstalk:environment:process:default: {HealthCheckPath: /up, Port: 80}
aws:elasticbeanstalk:container:tomcat:jvmoptions: {Xmx: 1g, Xms: 256m}
aws:elasticbeanstalk:customoption: {AlarmEmail: ops@example.com}
""",
        refused=(
            "document_root ('/public') cannot be honoured: nginx passes each request to index.php",
            "NodeCommand (not shown) cannot be honoured",
            "Xmx (not shown) cannot be honoured: no Tomcat is installed; write the options in",
        ),
        warned=(
            "ManagedActionsEnabled ('true') is passed over: there are no managed updates",
            "LogPublicationControl ('true') is passed over: lines are sent to the tier's log gro",
            "HealthStreamingEnabled ('true') is passed over: health is a metric",
            "Automatically Terminate Unhealthy Instances ('false') is passed over: Auto Scaling r",
            "memory_limit ('256M') is passed over: PHP's own setting",
            "staticfiles:/static ('static') is passed over: only the daemon's POSTs",
            "HealthCheckPath ('/up') is passed over",
            "environment:process:default:Port ('80') is passed over: a worker has no load",
            "AlarmEmail",
        ),
    ),
    Document(
        name="a WSGI path without a Procfile",
        text="aws:elasticbeanstalk:container:python: {WSGIPath: project.wsgi, NumProcesses: 1}\n",
        refused=("WSGIPath ('project.wsgi') cannot be honoured: gunicorn starts application:appl",),
    ),
    Document(
        name="a WSGI path beside a Procfile, which decides",
        text="aws:elasticbeanstalk:container:python: {WSGIPath: project.wsgi, NumThreads: 4}\n",
        decided=(PROCFILE,),
    ),
    Document(
        name="a database that was detached",
        text="aws:rds:dbinstance: {HasCoupledDatabase: 'false', DBEngine: mysql, DBUser: root}\n",
    ),
    Document(
        name="a database, whose password is not shown",
        text="aws:rds:dbinstance: {DBEngine: postgres, DBPassword: hunter2}\n",
        refused=(
            "DBEngine ('postgres') cannot be honoured: no database is made here",
            "DBPassword (not shown) cannot be honoured",
        ),
    ),
    Document(
        name="secrets",
        text="aws:elasticbeanstalk:application:environmentsecrets:\n"
        "  DB_PASSWORD: arn:aws:secretsmanager:eu-west-1:111122223333:secret:db-AbCdEf\n",
        refused=("environmentsecrets:DB_PASSWORD (not shown) cannot be honoured: values are not",),
    ),
    Document(
        name="names that are not known",
        text="""
aws:elasticbeanstalk:sqsd: {HTTPPath: /worker, Speed: 11}
aws:elasticbeanstalk:sqs: {HttpPath: /worker}
aws:elbv2:listener: {Protocol: HTTP}
orders: {a: 1, b: 2}
""",
        refused=(
            "sqsd:HTTPPath (not shown) cannot be honoured: it is not an option that is known here;"
            " the nearest name is HttpPath",
            "sqsd:Speed (not shown) cannot be honoured: it is not an option that is known here; le",
            "sqs (HttpPath) is not a namespace that is known here; the nearest name is"
            " aws:elasticbeanstalk:sqsd",
            "aws:elbv2:listener (Protocol) is not a namespace that is known here; the nearest",
            "orders (a, b) is not a namespace that is known here; leave it out",
        ),
    ),
]

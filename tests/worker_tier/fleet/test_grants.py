"""Who may do what: producers, instances, databases."""

from __future__ import annotations

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3

from tests.worker_tier.stacks import (
    KEY,
    Synthesized,
    actions_of,
    new_stack,
    tier_with,
    vpc_of,
)
from worker_tier import (
    WorkerApplication,
    WorkerTier,
)

# ---- grants


def test_a_producer_may_send() -> None:
    stack = new_stack()
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack))
    role = iam.Role(stack, "Producer", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    tier.grant_send_messages(role).assert_success()
    assert "sqs:SendMessage" in actions_of(Synthesized(stack).statements("AWS::IAM::Policy"))


def test_what_is_granted_to_a_tier_is_granted_to_its_instances() -> None:
    stack = new_stack()
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack))
    bucket = s3.Bucket(stack, "Bucket")
    bucket.grant_read(tier).assert_success()
    tier.add_to_role_policy(iam.PolicyStatement(actions=["ses:SendEmail"], resources=["arn:x"]))
    template = Synthesized(stack)
    statements = template.statements("AWS::IAM::ManagedPolicy", "FleetPolicy")
    assert template.id_of("AWS::S3::Bucket") in str(statements)
    assert "ses:SendEmail" in actions_of(statements)


def test_a_tier_can_be_let_into_a_database() -> None:
    stack = new_stack()
    network = vpc_of(stack)
    tier = WorkerTier(stack, "Worker", vpc=network)
    database = ec2.SecurityGroup(stack, "Database", vpc=network)
    database.connections.allow_from(tier, ec2.Port.tcp(5432), "workers")
    template = Synthesized(stack)
    rule = template.one("AWS::EC2::SecurityGroupIngress")
    own = template.id_of("AWS::EC2::SecurityGroup", "WorkerFleet")
    assert rule["SourceSecurityGroupId"] == {"Fn::GetAtt": [own, "GroupId"]}


# ---- an application in a container


def test_a_container_reaches_the_metadata_service_and_its_image() -> None:
    stack = new_stack()
    images = ecr.Repository(stack, "Images")
    application = WorkerApplication.from_container(images, tag="v1")
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), application=application)
    template = Synthesized(stack)
    data = template.one("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 2
    statements = template.statements("AWS::IAM::ManagedPolicy", "PullPolicy")
    wide = [statement for statement in statements if statement["Resource"] == "*"]
    assert actions_of(wide) == {"ecr:GetAuthorizationToken"}
    # and it may pull before it boots
    group = template.resources[template.id_of("AWS::AutoScaling::AutoScalingGroup")]
    assert template.id_of("AWS::IAM::ManagedPolicy", "PullPolicy") in group["DependsOn"]


def test_a_container_that_may_not_use_the_role_is_no_hop_nearer_to_the_metadata_service() -> None:
    application = WorkerApplication.from_container("public.ecr.aws/nginx/nginx:1.27")
    template = tier_with(application=application, application_aws_access=False)
    data = template.one("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 1


def test_an_image_that_anybody_may_pull_needs_no_rights() -> None:
    application = WorkerApplication.from_container("public.ecr.aws/nginx/nginx:1.27")
    template = tier_with(application=application, http_put_response_hop_limit=3)
    assert len(template.all("AWS::IAM::ManagedPolicy")) == 2
    data = template.one("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 3


# ---- keys made elsewhere


def test_instances_decrypt_what_the_cdk_uploaded_with_a_key() -> None:
    stack = new_stack()
    key = kms.Key.from_key_arn(stack, "AssetKey", KEY)
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), asset_key=key)
    statements = Synthesized(stack).statements("AWS::IAM::ManagedPolicy", "FleetPolicy")
    assert actions_of([s for s in statements if s["Resource"] == KEY]) == {"kms:Decrypt"}

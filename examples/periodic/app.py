"""Periodic tasks from an application's own cron.yaml, and one more in code; alarms by mail."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import App, Stack
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from worker_tier import PeriodicTask, WorkerApplication, WorkerTier, allow_alarms_to_publish

APPLICATION = Path(__file__).resolve().parents[1] / "python_worker"


class Periodic(Stack):
    """
    Args:
        mail: the address that alarms are sent to.
    """

    def __init__(self, scope: Construct, id: str, *, mail: str) -> None:
        super().__init__(scope, id)
        key = kms.Key(self, "Key", enable_key_rotation=True)
        topic = sns.Topic(self, "Alarms", enforce_ssl=True, master_key=key)
        topic.add_subscription(subscriptions.EmailSubscription(mail))
        # `enforce_ssl` writes a policy, and with it SNS's own is gone, by which alarms may publish.
        allow_alarms_to_publish(topic)
        tier = WorkerTier(
            self,
            "Worker",
            vpc=ec2.Vpc(
                self,
                "Vpc",
                max_azs=2,
                nat_gateways=1,
                flow_logs={
                    "Rejected": ec2.FlowLogOptions(traffic_type=ec2.FlowLogTrafficType.REJECT)
                },
            ),
            # Its cron.yaml is found in the directory.
            application=WorkerApplication.from_asset(str(APPLICATION)),
            encryption_key=key,
            # Two, so that the tasks go on when a zone fails.
            min_capacity=2,
            dashboard=True,
            alarm_actions=[actions.SnsAction(topic)],
        )
        tier.add_periodic_task(
            PeriodicTask(
                name="nightly-report",
                url="/scheduled",
                schedule="30 2 * * *",
                timezone="Europe/Berlin",
                overlap="skip",
            )
        )


if __name__ == "__main__":
    app = App()
    Periodic(app, "PeriodicExample", mail="operators@example.com")
    app.synth()

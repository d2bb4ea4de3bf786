from __future__ import annotations

import json
from typing import Any

import pytest
from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs

from sqsd.contract import SETTINGS_PATH, TierSettings
from sqsd.observe.emf import EmfReport
from sqsd.observe.metrics import Levels, Metrics
from tests.worker_tier.stacks import (
    Synthesized,
    evaluate,
    new_stack,
    resolved,
    tier_with,
    vpc_of,
)
from worker_tier import (
    ExistingQueue,
    InvalidProps,
    PeriodicTask,
    WorkerMachineImage,
    WorkerTier,
    allow_alarms_to_publish,
)
from worker_tier_bootstrap.user_data import files_in_user_data

KIND = "AWS::CloudWatch::Alarm"


def test_one_dead_letter_alarms(plain: Synthesized) -> None:
    alarm = plain.one(KIND, "DeadLetters")
    dead = plain.id_of("AWS::SQS::Queue", "DeadLetterQueue")
    assert alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
    assert alarm["Dimensions"] == [
        {"Name": "QueueName", "Value": {"Fn::GetAtt": [dead, "QueueName"]}}
    ]
    assert (alarm["Threshold"], alarm["EvaluationPeriods"], alarm["Period"]) == (1, 1, 60)
    assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"


@pytest.mark.parametrize(
    ("props", "seconds"), [({}, 3_600), ({"oldest_message_age": Duration.minutes(5)}, 300)]
)
def test_a_message_that_waits_too_long_alarms(props: dict[str, Any], seconds: int) -> None:
    stack = new_stack()
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), **props)
    alarm = Synthesized(stack).one(KIND, "OldestMessage")
    assert alarm["MetricName"] == "ApproximateAgeOfOldestMessage"
    assert alarm["Threshold"] == seconds


def test_silence_of_a_queue_is_no_alarm_but_silence_of_daemons_is(with_tasks: Synthesized) -> None:
    silence = {
        name: with_tasks.one(KIND, f"Monitoring{name}")["TreatMissingData"]
        for name in ("DeadLetters", "OldestMessage", "NoWorker", "NoLeader", "Unhealthy")
    }
    assert silence == {
        "DeadLetters": "notBreaching",
        "OldestMessage": "notBreaching",
        "NoWorker": "notBreaching",
        "NoLeader": "breaching",
        "Unhealthy": "breaching",
    }


def test_daemons_that_are_usually_silent_do_not_alarm_by_it(may_sleep: Synthesized) -> None:
    # given a fleet that may be empty, or one whose system ships no logs
    debian = tier_with(machine_image=WorkerMachineImage.debian_12())
    for template in (may_sleep, debian):
        assert template.one(KIND, "Unhealthy")["TreatMissingData"] == "notBreaching"


def expression_of(alarm: dict[str, Any]) -> str:
    (expression,) = [m["Expression"] for m in alarm["Metrics"] if "Expression" in m]
    return str(expression)


@pytest.mark.parametrize("fleet", ["plain", "may_sleep"])
def test_messages_that_no_worker_receives_alarm(fleet: str, request: pytest.FixtureRequest) -> None:
    # given a system whose daemons are heard, so that an instance that boots is not yet one
    alarm = request.getfixturevalue(fleet).one(KIND, "NoWorker")
    expression = expression_of(alarm)
    assert evaluate(expression, visible=1, reporting=None) >= alarm["Threshold"]
    assert evaluate(expression, visible=9, reporting=1) < alarm["Threshold"]
    assert evaluate(expression, visible=0, reporting=None) < alarm["Threshold"]
    assert alarm["EvaluationPeriods"] == 10
    (reporting,) = [m["MetricStat"] for m in alarm["Metrics"] if m["Id"] == "reporting"]
    assert (reporting["Metric"]["MetricName"], reporting["Stat"]) == ("Health", "SampleCount")


@pytest.mark.parametrize(
    "props", [{"metrics_namespace": None}, {"machine_image": WorkerMachineImage.debian_12()}]
)
def test_where_daemons_are_not_heard_instances_are_counted(props: dict[str, Any]) -> None:
    alarm = tier_with(**props).one(KIND, "NoWorker")
    expression = expression_of(alarm)
    assert evaluate(expression, visible=1, instances=0) >= alarm["Threshold"]
    assert evaluate(expression, visible=9, instances=1) < alarm["Threshold"]


def test_tasks_without_a_leader_alarm(with_tasks: Synthesized, plain: Synthesized) -> None:
    alarm = with_tasks.one(KIND, "NoLeader")
    assert (alarm["MetricName"], alarm["Statistic"]) == ("Leader", "Maximum")
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("LessThanThreshold", 1)
    assert not [id for id in plain.all(KIND) if "NoLeader" in id]


@pytest.mark.parametrize(
    ("instances", "reporting", "worst", "alarms"),
    [
        (2, 2, 1, False),
        (2, 2, 0, True),  # one of them is unwell
        (2, 1, 1, True),  # one of them is silent
        (2, None, None, True),
        (0, None, None, False),  # a fleet that sleeps
        (1, 2, 1, False),  # one that leaves still reports
    ],
)
def test_a_daemon_that_is_unwell_or_silent_alarms(
    may_sleep: Synthesized,
    instances: int,
    reporting: int | None,
    worst: int | None,
    alarms: bool,
) -> None:
    alarm = may_sleep.one(KIND, "Unhealthy")
    assert alarm["ComparisonOperator"] == "LessThanThreshold"
    value = evaluate(expression_of(alarm), instances=instances, reporting=reporting, worst=worst)
    assert (value < alarm["Threshold"]) is alarms
    # the patience of five minutes, and that of a boot
    assert alarm["EvaluationPeriods"] == 7


def test_a_daemon_that_is_unwell_alarms_where_silence_means_nothing() -> None:
    alarm = tier_with(machine_image=WorkerMachineImage.debian_12()).one(KIND, "Unhealthy")
    assert (alarm["Namespace"], alarm["MetricName"]) == ("ElasticBeanstalk/SQSD", "Health")
    assert alarm["Statistic"] == "Minimum"


def test_alarms_on_daemons_wait_for_the_first_of_them(with_tasks: Synthesized) -> None:
    group = with_tasks.id_of("AWS::AutoScaling::AutoScalingGroup")
    ids = [with_tasks.id_of(KIND, f"Monitoring{name}") for name in ("NoLeader", "Unhealthy")]
    leader, unhealthy = (with_tasks.resources[id] for id in ids)
    # which is created when its first instances have signalled
    assert group in leader["DependsOn"]
    assert {"Ref": group} in references(unhealthy["Properties"]["Metrics"])


def references(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict) and "Ref" in value:
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [found for part in parts for found in references(part)]


def printed_by_a_daemon(namespace: str, tier_name: str) -> set[tuple[str, str, str, str]]:
    """Namespace, name, dimension and its value of each metric that a busy daemon prints."""
    levels = Levels(
        in_flight=0,
        gate_open=True,
        draining=False,
        leader=True,
        poll_age=0.0,
        uptime=1.0,
        last_cron_send_age=None,
        log_lines_dropped=0,
    )
    metrics = Metrics()
    for histogram in metrics.app:
        histogram.observe(0.01)
    printed: set[tuple[str, str, str, str]] = set()
    for line in EmfReport(namespace, tier_name).lines(metrics, levels, healthy=True, at=0.0):
        document = json.loads(line)
        for directive in document["_aws"]["CloudWatchMetrics"]:
            ((dimension,),) = directive["Dimensions"]
            printed |= {
                (directive["Namespace"], metric["Name"], dimension, document[dimension])
                for metric in directive["Metrics"]
            }
    return printed


def test_alarms_name_the_metrics_as_the_daemon_prints_them(with_tasks: Synthesized) -> None:
    # given what a daemon of this tier prints
    settings = TierSettings.from_json(files_in_user_data(with_tasks.user_data())[SETTINGS_PATH])
    printed = printed_by_a_daemon(
        str(settings.options.metrics_namespace), settings.resources.tier_name
    )
    # then an alarm on them finds them
    (worst,) = [
        query["MetricStat"]["Metric"]
        for query in with_tasks.one(KIND, "Unhealthy")["Metrics"]
        if query["Id"] == "worst"
    ]
    for metric in (with_tasks.one(KIND, "NoLeader"), worst):
        (dimension,) = metric["Dimensions"]
        value = resolved(dimension["Value"])
        assert (metric["Namespace"], metric["MetricName"], dimension["Name"], value) in printed


def test_a_tier_whose_daemons_print_no_metrics_has_no_alarm_on_them(cron_file: str) -> None:
    template = tier_with(metrics_namespace=None, periodic_tasks=cron_file)
    assert not [id for id in template.all(KIND) if "NoLeader" in id or "Unhealthy" in id]


def test_the_daemons_lines_have_a_log_group_and_are_retained_for_a_month(
    plain: Synthesized,
) -> None:
    id = plain.id_of("AWS::Logs::LogGroup")
    assert plain.one("AWS::Logs::LogGroup")["RetentionInDays"] == 30
    assert plain.resources[id]["DeletionPolicy"] == "Delete"
    settings = TierSettings.from_json(files_in_user_data(plain.user_data())[SETTINGS_PATH])
    assert settings.resources.log_group == f"ref-{id}"


def test_a_log_group_and_its_retention_can_be_chosen() -> None:
    template = tier_with(log_retention=logs.RetentionDays.ONE_YEAR)
    assert template.one("AWS::Logs::LogGroup")["RetentionInDays"] == 365
    stack = new_stack()
    group = logs.LogGroup.from_log_group_name(stack, "Own", "own")
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), log_group=group)
    template = Synthesized(stack)
    assert template.all("AWS::Logs::LogGroup") == {}
    statements = template.statements("AWS::IAM::ManagedPolicy", "FleetPolicy")
    assert "log-group:own:*" in str(statements)


def test_two_tiers_of_a_stack_do_not_mix_their_metrics() -> None:
    stack = new_stack()
    network = vpc_of(stack)
    one, two = (WorkerTier(stack, name, vpc=network) for name in ("One", "Two"))
    assert one.tier_name != two.tier_name


def test_a_dashboard_is_made_when_asked_for_and_answers_three_questions(
    plain: Synthesized, cron_file: str
) -> None:
    assert plain.all("AWS::CloudWatch::Dashboard") == {}
    template = tier_with(dashboard=True, periodic_tasks=cron_file)
    body = json.loads(resolved(template.one("AWS::CloudWatch::Dashboard")["DashboardBody"]))
    texts = [w["properties"]["markdown"] for w in body["widgets"] if w["type"] == "text"]
    assert texts == ["## Is it keeping up?", "## Why not?", "## What failed?"]
    (lights,) = [w for w in body["widgets"] if w["type"] == "alarm"]
    assert len(lights["properties"]["alarms"]) == 5
    names = {metric[1] for w in body["widgets"] for metric in _metrics_of(w) if len(metric) > 1}
    assert {"Leader", "NoSuchMetric"}.isdisjoint(names)
    assert {"GateOpen", "Health", "MessagesReleased", "AppTime2xx", "CronMissed"} <= names


def _metrics_of(widget: dict[str, Any]) -> list[list[Any]]:
    return list(widget["properties"].get("metrics", []))


def widgets_of(template: Synthesized) -> list[dict[str, Any]]:
    body = json.loads(resolved(template.one("AWS::CloudWatch::Dashboard")["DashboardBody"]))
    return list(body["widgets"])


def queue_without_dead_letters(stack: Stack) -> ExistingQueue:
    queue = sqs.Queue.from_queue_arn(stack, "Orders", "arn:aws:sqs:us-east-1:111122223333:orders")
    return ExistingQueue.imported(
        queue,
        fifo=False,
        dead_letter_queue=None,
        max_receive_count=None,
        encryption_key=None,
        dead_letter_key=None,
    )


@pytest.mark.parametrize(
    "props",
    [
        {},
        {"metrics_namespace": None},
        {"single_instance": True},
        {"alarms": False},
        {"existing": True},
        {"existing": True, "metrics_namespace": None, "alarms": False},
    ],
)
def test_no_part_of_a_dashboard_is_empty_which_cloudwatch_refuses(props: dict[str, Any]) -> None:
    stack = new_stack()
    if props.get("existing"):
        props = {**props, "queue": queue_without_dead_letters(stack)}
    props = {name: value for name, value in props.items() if name != "existing"}
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), dashboard=True, **props)
    widgets = widgets_of(Synthesized(stack))
    assert {"text", "metric", "log"} <= {widget["type"] for widget in widgets}
    for widget in widgets:
        shown = {"metric": "metrics", "alarm": "alarms", "text": "markdown", "log": "query"}
        assert widget["properties"][shown[widget["type"]]], widget


def test_an_alarm_that_a_later_task_brings_is_on_the_page() -> None:
    stack = new_stack()
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), dashboard=True)
    tier.add_periodic_task(PeriodicTask(name="tick", url="/tick", schedule="* * * * *"))
    (lights,) = [w for w in widgets_of(Synthesized(stack)) if w["type"] == "alarm"]
    assert len(lights["properties"]["alarms"]) == len(tier.alarms) == 5


def test_every_daemon_metric_of_the_dashboard_is_one_that_daemons_print() -> None:
    template = tier_with(dashboard=True)
    body = json.loads(resolved(template.one("AWS::CloudWatch::Dashboard")["DashboardBody"]))
    shown = {
        metric[1]
        for widget in body["widgets"]
        for metric in _metrics_of(widget)
        if len(metric) > 1 and metric[0] == "WorkerTier"
    }
    assert len(shown) > 8
    assert shown <= {name for _, name, _, _ in printed_by_a_daemon("WorkerTier", "tier")}


def test_alarms_take_actions_at_once_and_later() -> None:
    stack = new_stack()
    at_once, later = sns.Topic(stack, "AtOnce"), sns.Topic(stack, "Later")
    tier = WorkerTier(
        stack, "Worker", vpc=vpc_of(stack), alarm_actions=[actions.SnsAction(at_once)]
    )
    tier.add_alarm_action(actions.SnsAction(later))
    template = Synthesized(stack)
    topics = [
        {"Ref": template.id_of("AWS::SNS::Topic", "AtOnce")},
        {"Ref": template.id_of("AWS::SNS::Topic", "Later")},
    ]
    assert set(tier.alarms) == {"DeadLetters", "OldestMessage", "NoWorker", "Unhealthy"}
    for name in tier.alarms:
        assert template.one(KIND, name)["AlarmActions"] == topics


# ---- from alarm to topic to policy to key


def takes_alarms(template: Synthesized, topic: dict[str, str]) -> bool:
    """Whether CloudWatch may publish to a topic, and use the key that encrypts it."""
    same_account = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}

    def admits(statements: list[dict[str, Any]], action: str) -> bool:
        return any(
            s["Effect"] == "Allow"
            and s["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
            and action in ([s["Action"]] if isinstance(s["Action"], str) else s["Action"])
            and s["Condition"] == same_account
            for s in statements
        )

    published = [
        admits(policy["PolicyDocument"]["Statement"], "sns:Publish")
        for policy in template.all("AWS::SNS::TopicPolicy").values()
        if topic in policy["Topics"]
    ]
    key = template.resources[topic["Ref"]].get("Properties", {}).get("KmsMasterKeyId")
    if key is None:
        return all(published)  # without a policy of its own SNS's default lets CloudWatch in
    statements = template.resources[key["Fn::GetAtt"][0]]["Properties"]["KeyPolicy"]["Statement"]
    return all(published) and admits(statements, "kms:GenerateDataKey")


@pytest.mark.parametrize("encrypted", [False, True])
def test_an_alarm_reaches_the_topics_that_take_tls_only(encrypted: bool) -> None:
    # given alarms that publish to the tier's topic, and to another one with the same key
    stack = new_stack()
    key = kms.Key(stack, "Key") if encrypted else None
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), encryption_key=key)
    mine = sns.Topic(stack, "Mine", enforce_ssl=True, master_key=key)
    allow_alarms_to_publish(mine)
    for topic in (tier.notifications_topic, mine):
        tier.add_alarm_action(actions.SnsAction(topic))
    # then CloudWatch may publish to each, and use its key
    template = Synthesized(stack)
    topics = template.one(KIND, "DeadLetters")["AlarmActions"]
    assert len(topics) == 2
    assert all(takes_alarms(template, topic) for topic in topics)


def test_alarms_can_publish_to_a_topic_with_another_key() -> None:
    stack = new_stack()
    key = kms.Key(stack, "Key")
    topic = sns.Topic(stack, "Mine", enforce_ssl=True, master_key=key)
    allow_alarms_to_publish(topic, encryption_key=key)
    template = Synthesized(stack)
    assert takes_alarms(template, {"Ref": template.id_of("AWS::SNS::Topic")})


def test_an_imported_topics_policy_is_out_of_reach() -> None:
    topic = sns.Topic.from_topic_arn(new_stack(), "Topic", "arn:aws:sns:us-east-1:1:topic")
    with pytest.raises(InvalidProps, match="this one is imported; where it is made"):
        allow_alarms_to_publish(topic)

from __future__ import annotations

from pathlib import Path

from sqsd import contract
from tests.worker_tier.stacks import CRON_YAML, Synthesized, actions_of, synthesize, vpc_of
from worker_tier import WorkerTier

KIND = "AWS::DynamoDB::GlobalTable"


def test_the_table_has_the_contracts_key_and_expires_items(with_tasks: Synthesized) -> None:
    table = with_tasks.one(KIND)
    assert table["KeySchema"] == [{"AttributeName": contract.LEADER_TABLE_KEY, "KeyType": "HASH"}]
    assert table["AttributeDefinitions"] == [
        {"AttributeName": contract.LEADER_TABLE_KEY, "AttributeType": "S"}
    ]
    assert table["TimeToLiveSpecification"] == {
        "AttributeName": contract.LEADER_TABLE_TTL,
        "Enabled": True,
    }


def test_the_table_is_paid_by_request_recoverable_and_goes_with_the_stack(
    with_tasks: Synthesized,
) -> None:
    table = with_tasks.one(KIND)
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    (replica,) = table["Replicas"]
    assert replica["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert with_tasks.resources[with_tasks.id_of(KIND)]["DeletionPolicy"] == "Delete"


def test_instances_may_do_with_the_table_what_an_election_needs_and_no_more(
    with_tasks: Synthesized,
) -> None:
    statements = with_tasks.statements("AWS::IAM::ManagedPolicy", "FleetPolicy")
    about_table = [
        statement
        for statement in statements
        if statement["Resource"] == {"Fn::GetAtt": [with_tasks.id_of(KIND), "Arn"]}
    ]
    assert actions_of(about_table) == set(contract.LEADER_TABLE_ACTIONS)


def test_without_periodic_tasks_there_is_no_table(plain: Synthesized) -> None:
    assert plain.all(KIND) == {}
    statements = plain.statements("AWS::IAM::ManagedPolicy", "FleetPolicy")
    assert not any(action.startswith("dynamodb:") for action in actions_of(statements))
    assert "sqs:SendMessage" not in actions_of(statements)


def test_without_an_enabled_task_there_is_no_table(tmp_path: Path) -> None:
    file = tmp_path / "cron.yaml"
    file.write_text(CRON_YAML + "   enabled: false\n", encoding="utf-8")
    template = synthesize(
        lambda stack: WorkerTier(stack, "Worker", vpc=vpc_of(stack), periodic_tasks=str(file))
    )
    assert template.all(KIND) == {}

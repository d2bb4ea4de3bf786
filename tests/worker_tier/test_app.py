from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App

import app as example
from sqsd.contract import SETTINGS_PATH, TierSettings
from tests.worker_tier.stacks import CRON_YAML, Synthesized
from worker_tier_bootstrap import paths
from worker_tier_bootstrap.user_data import files_in_user_data


@pytest.fixture(scope="module")
def template() -> Synthesized:
    stack = example.WorkerTierExample(
        App(), "WorkerTierExample", http_port=8123, application=example.application(App())
    )
    return Synthesized(stack)


def test_outputs_are_what_a_person_and_a_demo_need(template: Synthesized) -> None:
    assert set(template.document["Outputs"]) == {
        "QueueUrl",
        "DeadLetterQueueUrl",
        "LeaderTableName",
        "LaunchTemplateId",
        "AutoScalingGroupName",
        "ProducerFunctionName",
    }


def test_the_producer_knows_the_queue_may_send_to_it_and_logs_to_its_own_group(
    template: Synthesized,
) -> None:
    function = template.one("AWS::Lambda::Function")
    queue = template.id_of("AWS::SQS::Queue", "QueuesQueue")
    assert function["Environment"]["Variables"] == {"QUEUE_URL": {"Ref": queue}}
    assert function["Handler"] == "index.handler"
    assert function["Timeout"] == 120
    statements = template.statements("AWS::IAM::ManagedPolicy", "ProducerPolicy")
    resources = [statement["Resource"]["Fn::GetAtt"][0] for statement in statements]
    assert sorted(resources) == sorted([queue, template.id_of("AWS::Logs::LogGroup", "Producer")])


def test_the_network_costs_nothing_by_the_hour(template: Synthesized) -> None:
    assert template.all("AWS::EC2::NatGateway") == {}
    assert len(template.all("AWS::EC2::Subnet")) == 2


def test_the_producer_waits_for_its_rights_by_naming_them(template: Synthesized) -> None:
    role, policy = (
        template.id_of("AWS::IAM::Role", "ProducerRole"),
        template.id_of("AWS::IAM::ManagedPolicy", "ProducerPolicy"),
    )
    assert template.one("AWS::Lambda::Function")["Role"] == {"Fn::GetAtt": [role, "Arn"]}
    assert template.resources[role]["Properties"]["ManagedPolicyArns"] == [{"Ref": policy}]


def test_the_sample_is_installed_behind_nginx(template: Synthesized) -> None:
    written = json.loads(files_in_user_data(template.user_data())[paths.INSTANCE])["application"]
    assert (written["kind"], written["port"]) == ("bundle", 3000)
    settings = TierSettings.from_json(files_in_user_data(template.user_data())[SETTINGS_PATH])
    assert settings.options.http_port == 8123


def test_nginx_and_the_application_never_share_a_port() -> None:
    app = App()
    stack = example.WorkerTierExample(
        app, "Example", http_port=3000, application=example.application(app)
    )
    files = files_in_user_data(Synthesized(stack).user_data())
    assert json.loads(files[paths.INSTANCE])["application"]["port"] == 3001


def test_an_application_without_tasks_has_no_table_and_no_output_of_one(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("web: ./run\n")
    stack = example.WorkerTierExample(App(), "Example", http_port=80, application=tmp_path)
    template = Synthesized(stack)
    assert template.all("AWS::DynamoDB::GlobalTable") == {}
    assert "LeaderTableName" not in template.document["Outputs"]


@pytest.mark.parametrize("given", [8123, "8123", 8123.0])
def test_the_port_comes_from_the_context(given: Any) -> None:
    assert example.http_port(App(context={example.PORT_KEY: given})) == 8123


def test_without_context_the_port_is_80_and_the_application_the_sample() -> None:
    assert example.http_port(App()) == 80
    assert example.application(App()).name == "node_worker"


@pytest.mark.parametrize("given", ["0", "65536", "http", "", "-1", 80.5, True, "٣"])
def test_a_bad_port_is_refused(given: Any) -> None:
    with pytest.raises(example.InvalidContext, match="must be a port from 1 to 65535"):
        example.http_port(App(context={example.PORT_KEY: given}))


@pytest.mark.parametrize("given", ["no/such/directory", "app.py"])
def test_a_bad_application_is_refused(given: str) -> None:
    with pytest.raises(example.InvalidContext, match=f"{given} is none"):
        example.application(App(context={example.APPLICATION_KEY: given}))


def end_of_main(monkeypatch: pytest.MonkeyPatch, application: Path) -> str:
    """What the program says at its end, for an application that cannot be used."""
    monkeypatch.setattr(example, "application", lambda app: application)
    with pytest.raises(SystemExit) as ended:
        example.main()
    return str(ended.value.code)


def test_an_application_that_nothing_starts_ends_with_the_hint_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "add a Procfile with a line such as" in end_of_main(monkeypatch, tmp_path)


def test_a_bad_cron_yaml_ends_with_its_problems_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Procfile").write_text("web: ./run\n")
    (tmp_path / "cron.yaml").write_text(CRON_YAML.replace("* * * * *", "nonsense"))
    written = end_of_main(monkeypatch, tmp_path)
    assert "WorkerTierExample/Worker cannot be built from its props" in written
    assert f"periodic_tasks: {tmp_path / 'cron.yaml'}, line 5" in written

"""Values that are known at deployment only arrive on an instance as they are, whatever they hold.

They are in user data, within JSON within a here-document within bash. Each test resolves the
template with hostile values and runs the script by a real bash.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import CfnParameter, Stack

from sqsd.contract import SETTINGS_PATH, TierSettings
from tests.contract.user_data import Instance as Shell
from tests.worker_tier.stacks import Synthesized, new_stack, problems_of, vpc_of
from worker_tier import PeriodicTask, WorkerApplication, WorkerTier, standalone
from worker_tier_bootstrap import paths
from worker_tier_bootstrap.contract import Instance
from worker_tier_bootstrap.errors import InvalidInstance
from worker_tier_bootstrap.user_data import USER_DATA_LIMIT_BYTES, files_in_user_data

HOSTILE = [
    'a "quoted" word',
    "back\\slash \\n \\u0041 \\",
    '","port":9,"x":"',
    '"}}\nEND_OF_FILE\ntouch $MARK\n',
    "$(touch $MARK) `touch $MARK` ${MARK}",
    "' ; touch $MARK ; '",
    "tab\tand control \x01 \x7f",
    "Grüße, 仕事, \U0001f680, \u2028",
    '{"$base64":"eA=="}',
    "@FILES@ ${Token[X.1]} {{resolve:ssm:x}}",
    "",
]
#: Those that an environment property may have: one line.
PROPERTIES = [value for value in HOSTILE if not set(value) & set("\r\n")]


def resolved(value: Any, values: Mapping[str, str]) -> str:
    """An intrinsic as CloudFormation resolves it.

    Args:
        values: of parameters and attributes by name; any other has its name.
    """
    match value:
        case str():
            return value
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(resolved(part, values) for part in parts)
        case {"Fn::Base64": inner}:
            return base64.b64encode(resolved(inner, values).encode()).decode()
        case {"Ref": name}:
            return values.get(name, f"ref-{name}".replace("::", "-"))
        case {"Fn::GetAtt": [name, attribute]}:
            return values.get(attribute, f"att-{name}-{attribute}")
        case {"Fn::Sub": str(text)}:  # the CDK's own, with pseudo parameters only
            return re.sub(r"\$\{([\w:]+)\}", lambda m: resolved({"Ref": m[1]}, values), text)
        case _:
            raise AssertionError(f"an unexpected intrinsic: {value!r}")


def user_data_of(template: Synthesized, values: Mapping[str, str]) -> str:
    data = template.one("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]["UserData"]
    return resolved(data["Fn::Base64"], values)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """A tier that gets parameters of its stack wherever a prop takes a text."""
    directory = tmp_path_factory.mktemp("app")
    (directory / "Procfile").write_text("web: ./run\n")
    stack = new_stack()

    def parameter(name: str) -> str:
        return CfnParameter(stack, name).value_as_string

    environment = {f"P{n}": f"<{parameter(f'P{n}')}>" for n in range(len(PROPERTIES))}
    application = WorkerApplication.from_asset(
        str(directory), port=3000, environment={"A": parameter("A"), **environment}
    )
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), application=application)
    return Synthesized(stack)


@pytest.fixture(scope="module")
def container() -> Synthesized:
    stack = new_stack()
    image = f"ghcr.io/acme/worker:{CfnParameter(stack, 'Image').value_as_string}"
    WorkerTier(
        stack, "Worker", vpc=vpc_of(stack), application=WorkerApplication.from_container(image)
    )
    return Synthesized(stack)


@pytest.fixture
def boot(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Runs user data until it has written its files; returns path -> content of these."""
    shell = Shell(tmp_path)
    mark = tmp_path / "mark"
    shell.environment["MARK"] = str(mark)
    shell.link_tool("touch")

    def run(script: str) -> dict[str, str]:
        head, _, _ = script.partition("# cloud-init runs user data once")
        outcome = shell.boot(head.partition("begin 'find Python")[0] + "ready=yes\n")
        assert outcome.status == 0, outcome.output
        assert not mark.exists(), "a value was run as a command"
        wanted = (paths.INSTANCE, SETTINGS_PATH)
        return {path: outcome.file(path).read_text(encoding="utf-8") for path in wanted}

    return run


def test_properties_arrive_as_they_are_and_change_nothing_else(
    template: Synthesized, boot: Callable[[str], dict[str, str]]
) -> None:
    values = {f"P{number}": value for number, value in enumerate(PROPERTIES)}
    script = user_data_of(template, {"A": PROPERTIES[0], **values})
    written = boot(script)
    application = Instance.from_json(written[paths.INSTANCE]).application
    wrapped = {name: f"<{value}>" for name, value in values.items()}
    assert application.environment == {"A": PROPERTIES[0], **wrapped}
    assert application.port == 3000
    # what tests and tools read out of a script is what bash writes
    assert {path: files_in_user_data(script)[path] for path in written} == written


@pytest.mark.parametrize("value", sorted(set(HOSTILE) - set(PROPERTIES)))
def test_a_property_that_systemd_cannot_take_is_refused_by_its_name_and_not_shown(
    template: Synthesized, boot: Callable[[str], dict[str, str]], value: str
) -> None:
    written = boot(user_data_of(template, {"A": value}))
    with pytest.raises(InvalidInstance) as caught:
        Instance.from_json(written[paths.INSTANCE])
    assert "environment property A must be text of one line" in str(caught.value)
    assert "touch" not in str(caught.value)


@pytest.mark.parametrize("value", HOSTILE[:5])
def test_names_of_resources_arrive_as_they_are(
    template: Synthesized, boot: Callable[[str], dict[str, str]], value: str
) -> None:
    names = {"AWS::StackName": value, "AWS::Region": value, "AWS::StackId": value, "A": "x"}
    written = boot(user_data_of(template, names))
    settings = json.loads(written[SETTINGS_PATH])
    instance = Instance.from_json(written[paths.INSTANCE])
    assert (settings["tier_name"], settings["region"]) == (f"{value}-Worker", value)
    assert (instance.stack, instance.region) == (value, value)
    # and each other value is in its place
    assert TierSettings.from_json(written[SETTINGS_PATH]).options.http_port == 80


@pytest.mark.parametrize("value", ['","port":9,"x":"', "$(reboot)", "v1 -v"])
def test_an_image_that_is_none_is_refused_on_the_instance(
    container: Synthesized, boot: Callable[[str], dict[str, str]], value: str
) -> None:
    written = boot(user_data_of(container, {"Image": value}))
    with pytest.raises(InvalidInstance, match=r"application.image must name an image"):
        Instance.from_json(written[paths.INSTANCE])


def test_a_template_for_people_without_the_cdk_takes_any_parameter(
    boot: Callable[[str], dict[str, str]],
) -> None:
    template = Synthesized.__new__(Synthesized)
    template.document = standalone.template(None)
    template.resources = template.document["Resources"]
    values = {"BundleBucket": 'b"}}\nEND_OF_FILE\ntouch $MARK', "BundlePrefix": "\\$(touch $MARK)/"}
    bundle = json.loads(boot(user_data_of(template, values))[paths.INSTANCE])["bundle"]
    assert bundle["bucket"] == values["BundleBucket"]
    assert bundle["key"].startswith(values["BundlePrefix"])


def test_values_as_long_as_aws_makes_them_fit(template: Synthesized) -> None:
    values = {"AWS::StackName": "s" * 128, "AWS::StackId": f"arn:aws:{'s' * 200}", "A": "x"}
    script = user_data_of(template, values | {"Arn": "a" * 200, "QueueName": "q" * 80})
    assert len(script.encode()) <= USER_DATA_LIMIT_BYTES


@pytest.mark.parametrize("name", ["name", "url", "schedule"])
def test_a_periodic_task_must_be_known_at_synth(name: str) -> None:
    token = CfnParameter(Stack(), "P").value_as_string
    given: dict[str, Any] = {"name": "t", "url": "/x", "schedule": "* * * * *"}
    given[name] = f"/{token}" if name == "url" else token
    (problem,) = problems_of(periodic_tasks=[PeriodicTask(**given)])
    assert problem.startswith("periodic_tasks ")
    assert "is known only when the stack is deployed" in problem

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import worker_tier_bootstrap
from sqsd.contract import SETTINGS_PATH, SqsdOptions, TierResources, TierSettings
from worker_tier_bootstrap import paths, user_data
from worker_tier_bootstrap.contract import (
    BUNDLE,
    Application,
    Instance,
    S3Object,
)
from worker_tier_bootstrap.user_data import (
    CRON_PATH,
    deadline_seconds,
    files_in_user_data,
    render_user_data,
    without_remarks,
)

RESOURCES = TierResources(queue_url="https://sqs.example/1/work", region="us-east-1", tier_name="T")
EARLY = Path(worker_tier_bootstrap.__path__[0], "early.py")


def render(
    cron_yaml: str | None = None, application: Application | None = None, **options: Any
) -> str:
    return render_user_data(
        settings=TierSettings(resources=RESOURCES, options=SqsdOptions(**options)),
        bundle=S3Object(bucket="assets", key="daemon.zip", sha256="0" * 64),
        signal=user_data.Signal(stack="S", region="us-east-1", resource="Group", awaited=True),
        application=application,
        cron_yaml=cron_yaml,
    )


#: Anything that UTF-8 and a script can carry.
contents = st.text(st.characters(exclude_characters="\0", codec="utf-8"))

HOSTILE = [
    "",
    "\n",
    "no line break at the end",
    "two at the end\n\n",
    "'single' \"double\" $HOME ${HOME} $(reboot) `reboot` \\ \\n !! %s\n",
    "END_OF_FILE\n",
    "END_OF_FILE\nEND_OF_FILE_2\nEND_OF_FILE_3",
    "write_file /etc/shadow <<'END_OF_FILE'\nx\nEND_OF_FILE\n",
    "@FILES@ @REGION@ @UNKNOWN@ @@\n",
    "carriage\r\nreturns\r and \x0b\x0c\x1c\x85\u2028\u2029 others\n",
    "Grüße, 仕事, \U0001f680\n",
    "\ttab\n  trailing  \n",
]


@pytest.mark.parametrize("content", HOSTILE)
def test_a_file_is_read_back_exactly(content: str) -> None:
    assert files_in_user_data(render(content))[CRON_PATH] == content


@given(contents)
def test_any_file_is_read_back_exactly(content: str) -> None:
    files = files_in_user_data(render(content))
    assert set(files) == {SETTINGS_PATH, paths.INSTANCE, paths.EARLY, CRON_PATH}
    assert files[CRON_PATH] == content


def test_a_file_that_a_script_cannot_carry_is_refused() -> None:
    with pytest.raises(ValueError, match="holds a NUL character"):
        render("a\0b")


def test_a_script_cut_in_a_file_is_refused() -> None:
    script = render("text\n")
    cut = script[: script.index("END_OF_FILE\n", script.index(CRON_PATH) + 40)]
    with pytest.raises(ValueError, match=f"inside the here-document of {CRON_PATH}"):
        files_in_user_data(cut)


def test_settings_name_the_cron_file_exactly_when_there_is_one() -> None:
    for cron_yaml, name in ((None, None), ("version: 1\n", "cron.yaml")):
        files = files_in_user_data(render(cron_yaml))
        assert json.loads(files[SETTINGS_PATH])["cron_file"] == name
        assert (CRON_PATH in files) == (name is not None)


def test_settings_name_the_hook_that_the_group_has() -> None:
    settings = TierSettings.from_json(files_in_user_data(render())[SETTINGS_PATH])
    assert settings.resources.lifecycle_hook == "drain"
    # the group's name is found out at boot, for a template cannot give it
    assert settings.resources.auto_scaling_group is None


def test_the_description_of_an_instance_is_read_back_unchanged() -> None:
    application = Application(
        kind=BUNDLE,
        bundle=S3Object(bucket="assets", key="app.zip", sha256="1" * 64),
        platform="python",
        port=8123,
        environment={"MODE": 'it\'s "quoted" $HOME'},
        start_timeout=17,
    )
    read_back = Instance.from_json(
        files_in_user_data(render(application=application))[paths.INSTANCE]
    )
    assert read_back == Instance(
        stack="S",
        region="us-east-1",
        resource="Group",
        awaited=True,
        deadline_seconds=deadline_seconds(600),
        bundle=S3Object(bucket="assets", key="daemon.zip", sha256="0" * 64),
        application=application,
    )


@given(st.integers(1, 43_200))
def test_a_boot_fails_before_cloudformation_stops_listening(timeout: int) -> None:
    assert deadline_seconds(timeout) <= max(60, timeout - 30)


def test_no_hole_is_left_in_the_script() -> None:
    assert re.search("@[A-Z]", render("")) is None


def test_the_packed_early_part_is_python_3_9_and_the_same_program_as_its_source() -> None:
    carried = files_in_user_data(render())[paths.EARLY]
    # `make bundle` packs it anew
    assert carried == without_remarks(EARLY.read_text(encoding="utf-8"))
    assert carried == user_data.unpacked(user_data.packed_early())
    tree = ast.parse(carried, feature_version=(3, 9))
    # the same program: nothing but docstrings is gone
    assert ast.dump(tree) == ast.dump(_without_docstrings(ast.parse(EARLY.read_text())))


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef)):
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
    return tree


def test_remarks_are_left_out_and_texts_stay() -> None:
    source = (
        '"""One\n\nmore.\n"""\n# why\nx = "# no remark"\n\n\n'
        'def f():\n    """Says."""\n    return x\n'
    )
    assert without_remarks(source) == 'x = "# no remark"\ndef f():\n return x\n'


def test_the_size_is_bounded_with_a_reserve_for_the_values_of_tokens() -> None:
    allowed = user_data.USER_DATA_LIMIT_BYTES - user_data.RESERVED_FOR_TOKENS_BYTES
    assert user_data.size_problem("x" * allowed) is None
    # bytes are counted, not letters
    problem = user_data.size_problem("é" * (allowed // 2 + 1))
    assert problem is not None
    assert f"{allowed + 2} bytes" in problem


def test_a_cron_yaml_of_thirty_tasks_fits() -> None:
    task = (
        ' - name: "a-task-number-{:02}"\n   url: "/tasks/number/{:02}"\n'
        '   schedule: "*/5 * * * *"\n'
    )
    text = "version: 1\ncron:\n" + "".join(task.format(i, i) for i in range(30))
    assert user_data.size_problem(render(text)) is None

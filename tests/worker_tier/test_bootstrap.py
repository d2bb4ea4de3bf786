from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd.contract import SETTINGS_PATH, SqsdOptions, TierResources, TierSettings
from worker_tier import bootstrap
from worker_tier.bootstrap import CRON_PATH, UNIT_PATH, files_in_user_data, render_user_data

RESOURCES = TierResources(queue_url="https://sqs.example/1/work", region="us-east-1", tier_name="T")


def render(cron_yaml: str | None = None, **options: Any) -> str:
    return render_user_data(
        settings=TierSettings(resources=RESOURCES, options=SqsdOptions(**options)),
        bundle=bootstrap.Bundle(bucket="assets", key="daemon.zip", sha256="0" * 64),
        signal=bootstrap.Signal(stack="S", region="us-east-1", resource="Group", awaited=True),
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
    assert set(files) == {SETTINGS_PATH, CRON_PATH, UNIT_PATH}
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


@pytest.mark.parametrize(("drain", "stop"), [(0, 30), (300, 330), (7_200, 7_230)])
def test_the_unit_is_not_killed_before_its_drain_ends(drain: int, stop: int) -> None:
    unit = files_in_user_data(render(drain_timeout=drain))[UNIT_PATH]
    assert f"TimeoutStopSec={stop}\n" in unit
    assert "@" not in unit.replace("~@privileged @resources", "").replace("=@system-service", "")


def test_the_unit_runs_what_the_bootstrap_unpacks_with_the_settings_it_writes() -> None:
    unit = files_in_user_data(render())[UNIT_PATH]
    assert f"ExecStart=/opt/worker-tier/python -P -s -m sqsd run --settings {SETTINGS_PATH}" in unit
    assert "Environment=PYTHONPATH=/opt/worker-tier/daemon" in unit
    for line in ("Type=notify", "Restart=always", "User=sqsd", "NoNewPrivileges=yes"):
        assert f"\n{line}\n" in unit


def test_no_hole_is_left_in_the_script() -> None:
    script = render("")
    for value in ("region='us-east-1'", "stack='S'", "resource='Group'", "awaited='true'"):
        assert f"readonly {value}" in script
    assert "@" not in script.replace(files_in_user_data(script)[UNIT_PATH], "")


def test_the_size_is_bounded_with_room_for_what_tokens_become() -> None:
    allowed = bootstrap.USER_DATA_LIMIT_BYTES - bootstrap.RESERVED_FOR_TOKENS_BYTES
    assert bootstrap.size_problem("x" * allowed) is None
    # bytes are counted, not letters
    problem = bootstrap.size_problem("é" * (allowed // 2 + 1))
    assert problem is not None
    assert f"{allowed + 2} bytes" in problem


def test_user_data_without_tasks_leaves_half_of_the_room() -> None:
    assert len(render().encode()) < bootstrap.USER_DATA_LIMIT_BYTES / 2

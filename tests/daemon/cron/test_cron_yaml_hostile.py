"""Files that are costly or impossible to read: the loop of a running daemon is not blocked.

What took minutes, or would not have ended in this universe, ends here within the timeout.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import pytest

from sqsd.__main__ import main
from sqsd.config import load as settings
from sqsd.contract import InvalidSettings
from sqsd.cron.cron_yaml import FILE_MAX_BYTES, InvalidCronFile, read_cron_yaml, written_tasks
from sqsd.cron.file import CronFile, checked_schedule

pytestmark = pytest.mark.timeout(60)

HEAD: Final = "version: 1\ncron:\n"
SCHEDULE: Final = 'url: /t, schedule: "* * * * *"'


def merges(levels: int, fan: int = 2) -> str:
    """Return a file of which each mapping merges the one before `fan` times."""
    lines = ["version: 1", "x0: &m0 {overlap: skip}"]
    for level in range(1, levels):
        sources = ", ".join([f"*m{level - 1}"] * fan)
        lines.append(f"x{level}: &m{level} {{<<: [{sources}]}}")
    return "\n".join([*lines, f"cron:\n  - {{<<: *m{levels - 1}, name: t, {SCHEDULE}}}"])


def diamonds(levels: int) -> str:
    """Return a file of which each mapping merges two different ones of the level before."""
    lines = ["version: 1", "a0: &a0 {overlap: skip}", "b0: &b0 {jitter: 7}"]
    for level in range(1, levels):
        for name in "ab":
            lines.append(f"{name}{level}: &{name}{level} {{<<: [*a{level - 1}, *b{level - 1}]}}")
    return "\n".join([*lines, f"cron:\n  - {{<<: *a{levels - 1}, name: t, {SCHEDULE}}}"])


@pytest.mark.parametrize("text", [merges(16), merges(60), merges(20, fan=40), diamonds(60)])
def test_merges_of_merges_are_read_once_each(text: str) -> None:
    schedule, problems = read_cron_yaml(text)
    assert problems == ()
    assert [(task.name, task.overlap) for task in schedule.tasks] == [("t", "skip")]


def test_a_long_chain_of_tasks_that_merge_the_one_before_is_read() -> None:
    tasks = [f"  - &m0 {{name: t0, overlap: skip, {SCHEDULE}}}"]
    tasks += [f"  - &m{n} {{<<: *m{n - 1}, name: t{n}}}" for n in range(1, 2_000)]
    schedule, problems = read_cron_yaml(HEAD + "\n".join(tasks))
    assert problems == ()
    assert len(schedule.tasks) == 2_000
    assert {task.overlap for task in schedule.tasks} == {"skip"}


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("{<<: [{jitter: 1}, {jitter: 2}]", 1),  # the first source wins
        ("{jitter: 3, <<: {jitter: 1}", 3),  # what stands here wins
        ("{<<: {<<: {jitter: 1}, jitter: 2}", 2),  # the nearer one wins
        ("{<<: [{<<: {jitter: 1}}, {jitter: 2}]", 1),
        ("&a {<<: *a, jitter: 4", 4),  # one that merges itself
        ("{<<: x, jitter: 5", 5),  # a source that is no mapping
    ],
)
def test_of_merged_values_the_nearest_counts(task: str, expected: int) -> None:
    schedule, problems = read_cron_yaml(f"{HEAD}  - {task}, name: t, {SCHEDULE}}}\n")
    assert problems == ()
    assert [task.jitter for task in schedule.tasks] == [expected]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "[" * 5_000, "not YAML"),
        (HEAD + "- " * 5_000 + "x", "nested too deeply"),
        (HEAD + "? " * 5_000, "nested too deeply"),
        (HEAD + '"' * 100_001, "not YAML"),
        ("\x00\x01" * 1_000, "not YAML"),
        ("version: &a !!int {=: *a}\ncron: []", "version must be the number 1"),
        (f"{HEAD}  - {{name: t, {SCHEDULE}, enabled: &a !!bool {{=: *a}}}}", "enabled must be"),
        (f"{HEAD}  - {{name: t, {SCHEDULE}, enabled: !!bool maybe}}", "enabled must be"),
        (f"{HEAD}  - {{name: t, {SCHEDULE}, catch_up: 1{':1' * 60_000}}}", "catch_up must be"),
        (f"{HEAD}  - {{name: t, {SCHEDULE}, jitter: {'1' * 120_000}}}", "jitter must be"),
        (f"{HEAD}  - {{name: {'x' * 100_000}, {SCHEDULE}}}", "name has 100000 letters"),
        (f"{HEAD}  - {{name: t, {SCHEDULE}, timezone: {'x' * 100_000}}}", "timezone"),
        (HEAD + "#" * FILE_MAX_BYTES, "must have at most 131072"),
        (HEAD + "# " + "€" * (FILE_MAX_BYTES // 3), "must have at most 131072"),  # bytes
    ],
)
def test_a_file_that_cannot_be_read_is_a_problem_and_no_error(text: str, message: str) -> None:
    schedule, problems = read_cron_yaml(text)
    assert schedule.tasks == ()
    assert message in str(problems[0])
    assert all(len(str(problem)) < 1_000 for problem in problems)


def test_similar_zones_are_searched_for_a_few_mistakes_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searches: list[str] = []

    def counted(word: str, possibilities: Iterable[str], **options: Any) -> list[str]:
        searches.append(word)
        return get_close_matches(word, possibilities, **options)

    monkeypatch.setattr("sqsd.cron.cron_yaml.get_close_matches", counted)
    tasks = [f"  - {{name: t{n}, {SCHEDULE}, timezone: Europe/Berlni{n}}}" for n in range(300)]
    same = "  - {name: same, url: /t, schedule: '@daily', timezone: &z Nix}\n" + "\n".join(
        f"  - {{name: s{n}, {SCHEDULE}, timezone: *z}}" for n in range(300)
    )
    schedule, problems = read_cron_yaml(HEAD + "\n".join([same, *tasks]))
    assert schedule.tasks == ()
    assert len(problems) == 601
    assert "Europe/Berlin was meant" in str(problems[310])
    assert len([word for word in searches if "berlni" in word or word == "nix"]) <= 20


def test_a_file_that_is_too_long_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "cron.yaml"
    with path.open("wb") as file:
        file.truncate(10**12)  # sparse
    schedule, (problem,) = CronFile(path).read()
    assert schedule.tasks == ()
    assert "must have at most" in str(problem)
    with pytest.raises(InvalidCronFile, match="must have at most"):
        checked_schedule(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [x, x]\nb: &b [*a, *a]\nqueue_url: [*b, *b]\n", "aliases"),
        ("a: &a {mime_type: x}\n<<: [*a, *a]\n", "aliases"),
        ("[" * 1_000 + "]" * 1_000, "nested too deeply"),
        ("http_port: 2024-99-99\n", "month must be in 1..12"),
        (f"http_port: {'9' * 5_000}\n", "digits"),
        ("http_port: !!python/object:os.system x\n", "could not determine a constructor"),
        ("? [1, 2]\n: 3\n", "unhashable key"),
        ("a: \x01\n", "special characters are not allowed"),
        ("# " + "x" * 200_000, "must have at most"),
    ],
)
def test_settings_of_elastic_beanstalk_that_cannot_be_read_say_why(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "default.yaml"
    path.write_text(text)
    with pytest.raises(InvalidSettings, match=message):
        settings.load(path, {}, [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "not YAML"),
        ("[" * 3_000, "not YAML"),
        ("[" * 1_000 + "]" * 1_000, "nested too deeply"),
        ("*a", "aliases"),
        ("[&a [x, x], &b [*a, *a]]", "aliases"),
        ("2024-99-99", "month must be in 1..12"),
        ("9" * 5_000, "digits"),
        ("!!python/object:os.system x", "could not determine a constructor"),
        ("x" * 200_000, "must have at most"),
    ],
)
def test_a_flag_that_cannot_be_read_says_why(
    capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["check", "--queue-url=https://q/1/a", f"--http-port={text}"])
    assert ended.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("sqsd check: error: argument --http-port: ")
    assert message in line
    assert len(line) < 1_000


def test_a_tier_json_that_is_nested_too_deeply_is_a_problem_and_no_error(tmp_path: Path) -> None:
    path = tmp_path / "tier.json"
    path.write_text("[" * 100_000)
    with pytest.raises(InvalidSettings, match="nested too deeply"):
        settings.load(path, {}, [])


@pytest.mark.parametrize("text", [merges(16), merges(60), merges(20, fan=40), diamonds(60)])
def test_tasks_are_written_again_without_what_they_merge(text: str) -> None:
    (task,) = written_tasks(text)
    assert (task["name"], task["overlap"]) == ("t", "skip")
    assert "<<" not in task


def test_tasks_are_written_again_as_they_were() -> None:
    text = HEAD + (
        "  - &first\n    name: a\n    url: no-slash\n    schedule: '*/5 * * * *'\n"
        "    description: 2024-01-01\n    EB-ignores: [this]\n"
        "  - <<: *first\n    name: 'yes'\n    catch_up: !mine latest\n    jitter: 0x10\n"
        "    enabled: no\n    timezone: Europe/Berlin\n    overlap: skip\n"
    )
    assert written_tasks(text) == [
        {
            "name": "a",
            "url": "no-slash",
            "schedule": "*/5 * * * *",
            "description": "2024-01-01",
        },
        {
            "name": "yes",
            "url": "no-slash",
            "schedule": "*/5 * * * *",
            "timezone": "Europe/Berlin",
            "overlap": "skip",
            "catch_up": "latest",
            "enabled": False,
            "jitter": 16,
            "description": "2024-01-01",
        },
    ]

"""`cron.yaml`: what is read, and that every problem is reported with its place and hint."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd.cron.cron_yaml import InvalidCronFile, Problem, parse_cron_yaml, read_cron_yaml
from sqsd.cron.expression import parse_expression
from sqsd.cron.schedule import Task

TASK = """version: 1
cron:
  - name: "backup"
    url: "/backup"
    schedule: "0 */12 * * *"
"""


def problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(InvalidCronFile) as caught:
        parse_cron_yaml(text)
    return caught.value.problems


def only_problem(text: str) -> Problem:
    (problem,) = problems(text)
    return problem


def test_the_file_of_the_developer_guide_is_read() -> None:
    audit = '  - name: "audit"\n    url: "/audit"\n    schedule: "0 23 * * *"\n'
    tasks = parse_cron_yaml(TASK + audit).tasks
    assert tasks == (
        Task(name="backup", url="/backup", schedule=parse_expression("0 */12 * * *")),
        Task(name="audit", url="/audit", schedule=parse_expression("0 23 * * *")),
    )
    assert [(task.timezone, task.overlap, task.catch_up, task.jitter) for task in tasks] == [
        ("UTC", "allow", 300, 0)
    ] * 2


def test_all_keys_of_ours_are_read() -> None:
    (task,) = parse_cron_yaml(
        TASK
        + "    timezone: Europe/Berlin\n    overlap: skip\n    catch_up: 60\n    enabled: no\n"
        + "    jitter: 30\n    description: for the night\n"
    ).tasks
    assert task == Task(
        name="backup",
        url="/backup",
        schedule=parse_expression("0 */12 * * *"),
        timezone="Europe/Berlin",
        overlap="skip",
        catch_up=60,
        enabled=False,
        jitter=30,
        description="for the night",
    )


def test_keys_that_elastic_beanstalk_ignores_are_ignored() -> None:
    assert parse_cron_yaml("env: x\n" + TASK + "    description: [1]\n    owner: me\n").tasks


def test_merges_bring_defaults() -> None:
    text = """version: 1
base: &base {url: /a, schedule: "@hourly"}
cron:
  - {<<: *base, name: one}
  - {<<: [*base], name: two, url: /b}
"""
    assert [(t.name, t.url) for t in parse_cron_yaml(text).tasks] == [("one", "/a"), ("two", "/b")]


def test_a_mapping_that_merges_itself_does_not_hang() -> None:
    text = (
        'version: 1\ncron:\n  - &a\n    <<: *a\n    name: x\n    url: /\n    schedule: "@daily"\n'
    )
    assert parse_cron_yaml(text).tasks[0].name == "x"


def test_aliases_that_expand_without_end_are_read_at_once() -> None:
    lines = ['a0: &a0 {url: /a, schedule: "@daily"}']
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 40)]
    text = "\n".join(["version: 1", *lines, "cron: [{<<: *a39, name: x}]"])
    (task,) = parse_cron_yaml(text).tasks
    assert (task.name, task.url) == ("x", "/a")


def test_no_tasks_are_allowed_when_said_so() -> None:
    assert parse_cron_yaml("version: 1\ncron: []\n").tasks == ()


def test_a_problem_has_line_column_text_and_message() -> None:
    problem = only_problem(TASK.replace("*/12", "*/0"))
    assert (problem.line, problem.column) == (5, 18)
    assert problem.text == '    schedule: "0 */0 * * *"'
    assert 'hour: "*/0"' in problem.message
    assert str(problem).startswith("line 5, column 18: hour:")


def test_all_problems_are_reported_at_once_in_the_order_of_the_file() -> None:
    text = """version: "1"
cron:
  - name: a
    url: "http://host/path"
    schedule: "0 70 * * sunday"
  - name: 12
    url: "a b"
    shedule: "@hourly"
    overlap: maybe
  - name: a
    url: /x
    schedule: " 0 0 * * *"
"""
    found = problems(text)
    assert [p.line for p in found] == [1, 4, 5, 5, 6, 6, 7, 8, 9, 10, 12]
    message = str(InvalidCronFile(found, "app/cron.yaml"))
    assert message.startswith("app/cron.yaml: 11 problems\n  line 1, column 10: version must be")


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("version: 1", 'version: "1"', 1, ["version", "number 1", '"1"']),
        ("version: 1", "version: 2", 1, ["number 1", "got 2"]),
        ("version: 1", "version: 1.0", 1, ["number 1", "got 1.0"]),
        ("version: 1\n", "", 1, ["`version` is missing"]),
        ('"backup"', '""', 3, ["name is empty"]),
        ('"backup"', "", 3, ["name is empty"]),
        ('"backup"', "7", 3, ["int", 'quotes: "7"']),
        ('"backup"', "yes", 3, ["bool", "quotes"]),
        ('"backup"', "[a]", 3, ["name must be a text", "a list"]),
        ('"backup"', '" backup"', 3, ["blank"]),
        ('"backup"', r'"a\nb"', 3, ["control"]),
        ('"backup"', "x" * 257, 3, ["257", "256"]),
        ('"/backup"', "“/backup”", 4, ["quotes around it", "write /backup"]),
        ('"/backup"', "‘backup’", 4, ["quotes around it", "write /backup"]),
        ('"/backup"', "7", 4, ["int", 'quotes: "7"']),
        ('"backup"', "2026-01-01", 3, ["timestamp", 'quotes: "2026-01-01"']),
        ('"0 */12 * * *"', "*/5 * * * * ?", 5, ["not YAML", "Quartz", 'write "@every 5s"']),
        ('"0 */12 * * *"', "“0 9 * * *”", 5, ["typographic", 'write "0 9 * * *"']),
        ('"0 */12 * * *"', "0 9 * * 1–5", 5, ["typographic", 'write "0 9 * * 1-5"']),
        ('"0 */12 * * *"', "every 5 minutes", 5, ["App Engine", 'write "@every 5m"']),
        (
            '  - name: "backup"\n',
            '  – name: "backup"\n',
            4,
            ["not YAML", 'line 3 with a plain hyphen: - name: "backup"'],
        ),
        ('"/backup"', '"http://localhost/backup"', 4, ["absolute"]),
        ('"/backup"', '"//host/backup"', 4, ["absolute"]),
        ('"/backup"', '"/a b"', 4, ["blank", "%20"]),
        ('"/backup"', '"/ü"', 4, ["percent-encode"]),
        ('"/backup"', '"/a#b"', 4, ["fragment"]),
        ('"0 */12 * * *"', "* * * * *", 5, ["not YAML", 'quotes: "* * * * *"']),
        ('"0 */12 * * *"', "@daily", 5, ["not YAML", 'quotes: "@daily"']),
        ('"0 */12 * * *"', "5", 5, ["int", "quotes"]),
        ('"0 */12 * * *"', '""', 5, ["schedule is empty"]),
        ('"0 */12 * * *"', '"*/30 * * * * *"', 5, ["6 fields", "@every 30s"]),
        ("schedule:", "Schedule:", 5, ["unknown key `Schedule`", "`schedule`"]),
        ("    url:", "    url: /a\n    url:", 5, ["`url` stands here twice"]),
        ("    url:", "    tz: UTC\n    url:", 4, ["unknown key `tz`", "`timezone`"]),
        ("    url:", "    time-zone: UTC\n    url:", 4, ["`time-zone`", "`timezone`"]),
        ("    url:", "    timezone: Berlin\n    url:", 4, ["IANA", "Europe/Berlin"]),
        ("    url:", "    timezone: ../etc\n    url:", 4, ["IANA"]),
        ("    url:", "    timezone: Europe\n    url:", 4, ["IANA"]),
        ("    url:", "    overlap: forbid\n    url:", 4, ["allow or skip", '"forbid"']),
        ("    url:", "    catch_up: -1\n    url:", 4, ["0 to 86400", "got -1"]),
        ("    url:", "    catch_up: 5m\n    url:", 4, ["0 to 86400", '"5m"']),
        ("    url:", "    jitter: 1.5\n    url:", 4, ["0 to 3600", "got 1.5"]),
        ("    url:", "    jitter: true\n    url:", 4, ["0 to 3600", "got true"]),
        ("    url:", '    enabled: "no"\n    url:', 4, ["true or false", '"no"']),
        ("  - name", "\t- name", 3, ["not YAML", "tabs"]),
        ("cron:", "crons:", 1, ["`cron` is missing"]),
    ],
)
def test_a_mistake_is_reported_with_its_line_and_hint(
    old: str, new: str, line: int, words: list[str]
) -> None:
    found = problems(TASK.replace(old, new, 1))
    assert any(
        problem.line == line and all(word in problem.message for word in words) for problem in found
    ), found


def test_a_url_without_its_slash_works_as_in_elastic_beanstalk_with_a_warning() -> None:
    # given urls that EB POSTs to /u
    text = TASK.replace('"/backup"', "u") + "  - {name: b, url: '?x=1', schedule: '@daily'}\n"
    schedule = parse_cron_yaml(text)
    # then they are read so, and each is a warning with its place and the url to write
    assert [task.url for task in schedule.tasks] == ["/u", "/?x=1"]
    first, second = schedule.warnings
    assert first.startswith('line 4, column 10: url "u" has no slash at its beginning')
    assert "is POSTed to /u, as in Elastic Beanstalk; write /u" in first
    assert second.startswith("line 6, column")
    # and what is written as the warning says has none
    assert parse_cron_yaml(TASK).warnings == ()


def test_a_name_in_typographic_quotes_is_read_with_a_warning() -> None:
    schedule = parse_cron_yaml(TASK.replace('"backup"', "“backup”"))
    assert schedule.tasks[0].name == "“backup”"
    assert 'write "backup"' in schedule.warnings[0]


def test_tasks_that_begin_with_a_long_dash_are_no_list() -> None:
    problem = only_problem("version: 1\ncron:\n  – name: a\n")
    assert (
        "got a mapping; begin the task in line 3 with a plain hyphen: - name: a" in problem.message
    )


@pytest.mark.parametrize(
    "text",
    ["", "# nothing\n", "[]", "text", "version: 1", "version: 1\ncron:", "version: 1\ncron: {}",
     "version: 1\ncron: [x]", "a: b: c", "\x01", "version: 1\n---\nversion: 1", "[" * 5_000],
)  # fmt: skip
def test_what_is_no_cron_file_at_all_is_refused(text: str) -> None:
    assert problems(text)


def test_at_run_time_the_good_tasks_remain_and_the_bad_are_reported() -> None:
    text = (
        TASK
        + """  - {name: bad, url: /, schedule: "61 * * * *"}
  - {name: good, url: /, schedule: "@daily"}
"""
    )
    schedule, found = read_cron_yaml(text)
    assert [task.name for task in schedule.tasks] == ["backup", "good"]
    assert [problem.line for problem in found] == [6]


def test_of_two_tasks_with_one_name_the_first_remains() -> None:
    schedule, found = read_cron_yaml(TASK + '  - {name: backup, url: /b, schedule: "@daily"}\n')
    assert [task.url for task in schedule.tasks] == ["/backup"]
    assert "line 3" in found[0].message


@given(text=st.text() | st.text(alphabet=":-[]{}&*<! \n#\"'ab1|>%@"))
def test_any_text_is_read_or_refused_and_never_breaks_the_reader(text: str) -> None:
    schedule, found = read_cron_yaml(text)
    assert schedule.tasks or found or "cron" in text

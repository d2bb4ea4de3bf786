"""Files of `.ebextensions`: every form is read, every entry that is not carried out is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.bootstrap.assessment.bundles import refused, warned, write
from worker_tier_bootstrap.assessment import assess
from worker_tier_bootstrap.assessment.config_files import ConfigFile, read_config_file

PATH = ".ebextensions/01.config"
ALL = """
packages:
  yum:
    ImageMagick: []
    git: 2.39
    jq: ["1.6", "1.5"]
  rpm:
    epel: https://example.com/epel.rpm
groups:
  docker: []
  ops: {gid: 45}
users:
  ada:
    groups: [docker, ops]
    uid: "50"
    homeDir: /tmp
sources:
  /etc/app: https://example.com/app.tar.gz
files:
  "/etc/cron.d/app":
    mode: "000644"
    owner: ec2-user
    group: docker
    content: |
      MAILTO=root
  /opt/key:
    source: https://example.com/key
    authentication: S3Auth
  /opt/blob:
    content: aGk=
    encoding: base64
commands:
  02_second:
    command: [python3, setup.py]
    cwd: /home/ec2-user
    env: {STAGE: production, N: 3}
    test: "[ -e setup.py ]"
    ignoreErrors: true
  01_first: {command: "touch /tmp/x"}
services:
  sysvinit:
    nginx:
      enabled: true
      ensureRunning: false
      files: [/etc/nginx/nginx.conf]
      sources: [/etc/app]
      packages: {yum: [nginx]}
      commands: [01_first]
container_commands:
  migrate:
    command: "npm run migrate"
    leader_only: true
Resources:
  Topic: {Type: "AWS::SNS::Topic"}
  AWSEBAutoScalingGroup: {Metadata: {}}
Outputs:
  Arn: {Value: x}
option_settings:
  aws:elasticbeanstalk:sqsd:
    HttpPath: /jobs
"""


def read(text: str) -> ConfigFile:
    return read_config_file(PATH, text)


@pytest.mark.parametrize("text", [ALL, json.dumps(yaml.safe_load(ALL))], ids=["yaml", "json"])
def test_every_form_of_every_key_is_read_into_typed_values(text: str) -> None:
    file = read(text)
    assert not file.findings
    assert [(p.manager, p.name, p.versions) for p in file.packages] == [
        ("yum", "ImageMagick", ()),
        ("yum", "git", ("2.39",)),
        ("yum", "jq", ("1.6", "1.5")),
        ("rpm", "epel", ("https://example.com/epel.rpm",)),
    ]
    assert [(g.name, g.gid) for g in file.groups] == [("docker", ""), ("ops", "45")]
    (user,) = file.users
    assert (user.name, user.uid, user.groups, user.home) == ("ada", "50", ("docker", "ops"), "/tmp")
    (source,) = file.sources
    assert (source.directory, source.url) == ("/etc/app", "https://example.com/app.tar.gz")
    cron, key, blob = file.files
    assert (cron.path, cron.mode, cron.owner, cron.group, cron.content) == (
        *("/etc/cron.d/app", "000644", "ec2-user", "docker", "MAILTO=root\n"),
    )
    assert (key.content, key.source, key.authentication) == (
        *(None, "https://example.com/key", "S3Auth"),
    )
    assert (blob.content, blob.encoding, blob.owner) == ("aGk=", "base64", "root")
    (service,) = file.services
    assert (service.name, service.enabled, service.running) == ("nginx", True, False)
    assert set(service.restarted_by) == {"/etc/nginx/nginx.conf", "/etc/app", "nginx", "01_first"}
    assert [(r.key, r.name, r.type) for r in file.resources] == [
        ("Resources", "Topic", "AWS::SNS::Topic"),
        ("Resources", "AWSEBAutoScalingGroup", ""),
        ("Outputs", "Arn", ""),
    ]


def test_commands_are_in_the_order_of_their_names_with_all_that_they_have() -> None:
    first, second = read(ALL).commands
    assert (first.name, first.command, first.ignore_errors, first.leader_only) == (
        *("01_first", "touch /tmp/x", False, False),
    )
    assert (second.command, second.cwd, second.test) == (
        *(("python3", "setup.py"), "/home/ec2-user", "[ -e setup.py ]"),
    )
    assert second.environment == {"STAGE": "production", "N": "3"}
    assert second.ignore_errors
    (migrate,) = read(ALL).container_commands
    assert migrate.leader_only


def test_every_entry_is_refused_by_its_name_with_what_to_write(tmp_path: Path) -> None:
    problems = refused(assess(write(tmp_path, {"app.js": "", PATH: ALL})))
    expected = {
        "`packages` does not install ImageMagick, git, jq (yum)": "dnf install -y ImageMagick"
        " git-2.39 jq-1.6",
        "`packages` does not install epel (rpm)": "rpm -i https://example.com/epel.rpm",
        "`groups` does not make the group docker": "groupadd --force docker",
        "`groups` does not make the group ops": "groupadd --force --gid 45 ops",
        "`users` does not make the user ada": "useradd --system --uid 50 --groups docker,ops"
        " --home-dir /tmp ada",
        "`sources` does not unpack anything into /etc/app": "unpack it with tar -xz",
        "`files` does not write /etc/cron.d/app": "install -m 0644 -o ec2-user -g docker FILE",
        "`files` does not write /opt/key": "grant s3:GetObject to the tier",
        "`files` does not write /opt/blob": "decoded from base64",
        "`commands` does not run 01_first": ".platform/hooks/prebuild/01_first.sh",
        "`commands` does not run 02_second": "its program with its arguments, in /home/ec2-user,"
        " with STAGE, N set, only if its test succeeds, with `|| true` after it",
        "`services` does not change nginx": "systemctl enable nginx && systemctl stop nginx",
        "`container_commands` does not run migrate on the leader": "predeploy/migrate.sh:"
        " #!/bin/bash, then its line, after `runuser -u webapp --` if it runs code of the"
        " application",
        "`Resources` does not make Topic (AWS::SNS::Topic)": "Topic of aws_cdk.aws_sns",
        "`Resources` does not make AWSEBAutoScalingGroup": "the props of the tier",
        "`Outputs` does not make Arn": "write it in the stack that holds the tier",
    }
    assert len(problems) == len(expected)
    for problem, (says, hint) in zip(problems, expected.items(), strict=True):
        assert problem.startswith(f"{says}; ")
        assert hint in problem
        assert f"({PATH}, line " in problem


def test_no_finding_shows_a_value_that_may_be_secret(tmp_path: Path) -> None:
    secret = "hunter2"
    document = {
        "files": {"/a": {"content": secret}, "/b": {"source": f"https://{secret}@example.com"}},
        "commands": {"x": {"command": f"login {secret}", "env": {"P": secret}, "test": secret}},
        "container_commands": {"y": {"command": [secret], "cwd": "/"}},
        "sources": {"/c": f"https://example.com/?key={secret}"},
    }
    found = assess(write(tmp_path, {"app.js": "", PATH: json.dumps(document)}))
    assert len(refused(found)) == 5
    assert secret not in str(found.findings)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("packages:\n\tyum: {}\n", "indent with blanks, not tabs"),
        ("packages: {yum: [a]}", "the value of `packages` must be a mapping of names, got a list"),
        ("commands: x", "the value of `commands` must be a mapping of names, got a text of 1"),
        ("commands: {a: {cwd: /}}", "the entry of `a` must be a mapping with a command"),
        ("commands: {a: {command: {x: y}}}", "the command of `a` must be a text, got a mapping"),
        ("files: {/a: text}", "the file of `/a` must be a mapping with content or source"),
        (
            "container_commands: {a: {command: x, leader_only: maybe}}",
            "leader_only of `a` must be true or false, got a text of 5 characters",
        ),
        ("services: {systemd: {nginx: {enabled: [1]}}}", "enabled of `nginx` must be a text"),
        ("optionsettings: {}", "`optionsettings` is no key of a configuration file"),
        ("- a", "a configuration file must be a mapping, got a list"),
        ("files: !Unknown x", "a tag is no function of CloudFormation"),
    ],
)
def test_a_file_that_is_not_of_its_form_is_refused_with_its_place(
    tmp_path: Path, text: str, says: str
) -> None:
    (problem,) = refused(assess(write(tmp_path, {"app.js": "", PATH: text})))
    assert says in problem
    assert f"({PATH}, line " in problem


def test_a_file_of_another_encoding_is_read_by_its_mark_or_refused(tmp_path: Path) -> None:
    text = "container_commands: {a: {command: x}}"
    write(tmp_path, {"app.js": "", PATH: text.encode("utf-16")})
    assert "`container_commands` does not run a" in refused(assess(tmp_path))[0]
    write(tmp_path, {PATH: b"# caf\xe9\n"})
    assert "a byte of the document is not UTF-8: 0xe9 in line 1" in refused(assess(tmp_path))[0]


def test_the_problems_of_all_files_and_entries_are_reported_at_once(tmp_path: Path) -> None:
    files = {
        ".ebextensions/a.config": "commands: {a: {cwd: /}, b: {}}\nwrong: 1",
        ".ebextensions/b.config": "{",
    }
    assert len(refused(assess(write(tmp_path, {"app.js": ""} | files)))) == 4


def test_values_that_cloudformation_fills_in_are_no_mistake(tmp_path: Path) -> None:
    text = """
files:
  /etc/queue:
    content: {"Fn::Join": ["", ["URL=", {"Ref": "AWSEBWorkerQueue"}]]}
commands:
  a:
    command: !Sub "echo ${AWS::Region}"
    env: {QUEUE: {Ref: AWSEBWorkerQueue}}
"""
    problems = refused(assess(write(tmp_path, {"app.js": "", PATH: text})))
    assert [problem.split(";")[0] for problem in problems] == [
        "`files` does not write /etc/queue",
        "`commands` does not run a",
    ]


@pytest.mark.parametrize(
    "name", ["a.yml", "a.yaml", "a.json", "a.config.bak", "a.CONFIG", "sub/a.config"]
)
def test_a_file_of_another_name_is_not_read_which_is_a_warning(tmp_path: Path, name: str) -> None:
    found = assess(write(tmp_path, {"app.js": "", f".ebextensions/{name}": ALL}))
    (warning,) = warned(found)
    assert warning.startswith(f".ebextensions/{name} is not read: names of configuration files end")
    assert not refused(found)


def test_a_file_that_a_configuration_file_names_belongs_to_it(tmp_path: Path) -> None:
    files = {
        PATH: "container_commands: {a: {command: bash .ebextensions/setup.sh}}",
        ".ebextensions/setup.sh": "",
    }
    assert not warned(assess(write(tmp_path, {"app.js": ""} | files)))


# ---- option settings


def settings_of(tmp_path: Path, files: dict[str, str], *decided: str) -> tuple[object, list[str]]:
    found = assess(write(tmp_path, {"app.js": ""} | files))
    reading = found.option_settings(decided)
    assert reading is not None
    return reading.settings, [
        str(f) for f in reading.findings if f.loses or f.outcome.value == "refused"
    ]


def test_option_settings_of_all_files_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    sqsd = "aws:elasticbeanstalk:sqsd"
    files = {
        ".ebextensions/02.config": f"option_settings:\n  {sqsd}:\n    HttpPath: /two\n",
        ".ebextensions/01.config": f"option_settings:\n  - namespace: {sqsd}\n"
        "    option_name: HttpPath\n    value: /one\n  - option_name: MODE\n    value: fast\n",
        ".ebextensions/03.config": f'{{"option_settings": {{"{sqsd}": {{"MaxRetries": 3}}}}}}',
    }
    settings, findings = settings_of(tmp_path, files)
    assert settings.sqsd == {"http_path": "/two", "max_retries": 3}  # type: ignore[attr-defined]
    assert {n: str(t) for n, t in settings.environment.items()} == {"MODE": "fast"}  # type: ignore[attr-defined]
    (finding,) = findings
    assert "HttpPath is set again later, which wins" in finding
    assert "(.ebextensions/01.config, line 2, column 5)" in finding


def test_an_option_that_is_not_honoured_has_its_file_and_line(tmp_path: Path) -> None:
    text = "option_settings:\n  aws:elasticbeanstalk:container:php:phpini:\n    document_root: /p\n"
    _, findings = settings_of(tmp_path, {PATH: text})
    (finding,) = findings
    assert "document_root" in finding
    assert f"({PATH}, line 3, column 5)" in finding


def test_a_procfile_of_the_bundle_decides_instead_of_an_option(tmp_path: Path) -> None:
    text = "option_settings:\n  aws:elasticbeanstalk:container:python:\n    WSGIPath: a.b:c\n"
    assert "cannot be honoured" in settings_of(tmp_path, {PATH: text})[1][0]
    assert not settings_of(tmp_path, {PATH: text, "Procfile": "web: node app.js"})[1]


def test_mappings_of_one_file_are_read_by_its_option_settings(tmp_path: Path) -> None:
    text = """
Mappings: {M: {a: {path: /mapped}}}
option_settings:
  aws:elasticbeanstalk:sqsd:
    HttpPath: '`{"Fn::FindInMap": ["M", "a", "path"]}`'
"""
    settings, _ = settings_of(tmp_path, {PATH: text})
    assert settings.sqsd == {"http_path": "/mapped"}  # type: ignore[attr-defined]


def test_empty_option_settings_are_no_problem(tmp_path: Path) -> None:
    assert settings_of(tmp_path, {PATH: "option_settings:\n"})[1] == []


def test_a_bundle_without_option_settings_has_none(tmp_path: Path) -> None:
    assert assess(write(tmp_path, {"app.js": ""})).option_settings() is None

from __future__ import annotations

import gc
import hashlib
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Duration, SecretValue
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_secretsmanager as secretsmanager

from sqsd.contract import SETTINGS_PATH, TierSettings
from tests.worker_tier.stacks import CRON_YAML, Synthesized, new_stack, synthesize, vpc_of
from worker_tier import InvalidApplication, InvalidProps, WorkerApplication, WorkerTier
from worker_tier_bootstrap import paths
from worker_tier_bootstrap.user_data import files_in_user_data


@pytest.fixture
def app(tmp_path: Path) -> Path:
    directory = tmp_path / "app"
    directory.mkdir()
    (directory / "Procfile").write_text("web: ./run\nworker: ./work\n")
    (directory / "run").write_text("#!/bin/sh\n")
    (directory / "run").chmod(0o755)
    (directory / "work").symlink_to("run")
    return directory


def template_of(application: WorkerApplication | None, **props: Any) -> Synthesized:
    return synthesize(
        lambda stack: WorkerTier(
            stack, "Worker", vpc=vpc_of(stack), application=application, **props
        )
    )


def instance_document(template: Synthesized) -> dict[str, Any]:
    files = files_in_user_data(template.user_data())
    document: dict[str, Any] = json.loads(files[paths.INSTANCE])
    return document


def test_without_an_application_instances_get_the_daemon_only() -> None:
    document = instance_document(template_of(None))
    assert document["application"]["kind"] == "external"
    assert (
        document["application"]
        == instance_document(template_of(WorkerApplication.external()))["application"]
    )


def test_a_directory_becomes_a_source_bundle_that_instances_may_read(app: Path) -> None:
    application = WorkerApplication.from_asset(str(app), port=3000, environment={"MODE": "a b"})
    template = template_of(application)
    document = instance_document(template)["application"]
    assert (document["kind"], document["port"]) == ("bundle", 3000)
    assert document["environment"] == {"MODE": "a b"}
    # by the SHA-256 of what was packed here, which the instance checks
    assert application.bundle is not None
    content = application.bundle.packed.path.read_bytes()
    assert document["bundle"]["sha256"] == hashlib.sha256(content).hexdigest()
    key = document["bundle"]["key"]
    allowed = [
        statement
        for statement in template.statements("AWS::IAM::ManagedPolicy", "FleetPolicy")
        if "s3:GetObject" in str(statement["Action"]) and key in str(statement["Resource"])
    ]
    assert len(allowed) == 1
    assert "*" not in str(allowed[0]["Resource"])


def test_what_is_uploaded_is_the_bundle_by_its_digest(app: Path, tmp_path: Path) -> None:
    application = WorkerApplication.from_asset(str(app))
    assert application.bundle is not None
    path = application.bundle.write(tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.name == f"worker-tier-application.{digest[:16]}.zip"
    with zipfile.ZipFile(path) as bundle:
        modes = {entry.filename: entry.external_attr >> 16 for entry in bundle.infolist()}
        assert bundle.read("work") == b"run"
    assert stat.S_ISLNK(modes["work"])
    assert modes["run"] & 0o111
    assert not modes["Procfile"] & 0o111


def test_what_ebignore_names_stays_out_by_the_rules_of_gitignore(app: Path, tmp_path: Path) -> None:
    (app / ".ebignore").write_text("# local\n*.log\nnode_modules/\n!keep.log\n/top.txt\n")
    for name in ("a.log", "keep.log", "top.txt", "deep/top.txt", "node_modules/x/y.js", ".env"):
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_text("")
    for name in (".git/config", "__pycache__/a.pyc"):
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_text("")
    bundle = WorkerApplication.from_asset(str(app)).bundle
    assert bundle is not None
    with zipfile.ZipFile(bundle.write(tmp_path)) as archive:
        assert set(archive.namelist()) == {
            *("Procfile", "run", "work", "keep.log", "deep/top.txt", ".env"),
        }


def test_a_temporary_archive_goes_with_its_application(app: Path) -> None:
    application = WorkerApplication.from_asset(str(app))
    assert application.bundle is not None
    path = application.bundle.packed.path
    assert path.exists()
    del application
    gc.collect()
    assert not path.parent.exists()


def test_the_bundles_cron_yaml_becomes_the_periodic_tasks(app: Path) -> None:
    (app / "cron.yaml").write_text(CRON_YAML)
    template = template_of(WorkerApplication.from_asset(str(app)))
    assert template.all("AWS::DynamoDB::GlobalTable")
    files = files_in_user_data(template.user_data())
    assert files["/etc/worker-tier/cron.yaml"] == CRON_YAML
    assert TierSettings.from_json(files[SETTINGS_PATH]).cron_file == "cron.yaml"
    # the prop goes before the bundle's
    assert not template_of(WorkerApplication.from_asset(str(app)), periodic_tasks=[]).all(
        "AWS::DynamoDB::GlobalTable"
    )


def test_a_repository_may_be_pulled_from(app: Path) -> None:
    stack = new_stack()
    repository = ecr.Repository.from_repository_name(stack, "Repository", "worker")
    application = WorkerApplication.from_container(repository, tag="v1", port=8081)
    WorkerTier(stack, "Worker", vpc=vpc_of(stack), application=application)
    template = Synthesized(stack)
    document = instance_document(template)["application"]
    assert (document["kind"], document["port"]) == ("container", 8081)
    assert document["image"].endswith(":v1")
    assert "ecr:BatchGetImage" in str(template.statements("AWS::IAM::ManagedPolicy", "PullPolicy"))


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "nothing says how to start"),
        ({"Procfile": "web node"}, "line 1 is not `name: command`"),
        ({"Procfile": "\n"}, "the Procfile names no process"),
        ({"Procfile": "web: x", "Buildfile": "nonsense"}, "Buildfile: line 1"),
        ({"Procfile": "web: x\nweb: y"}, "line 2 names web a second time"),
        ({"Procfile": "web: x\nsqsd: y"}, "line 2: the name sqsd is taken by the daemon"),
        ({"Procfile": "web: x\nworker-tier-build: y"}, "is taken by a unit of worker-tier"),
    ],
)
def test_a_directory_that_no_instance_could_start_is_refused_at_synth(
    tmp_path: Path, files: dict[str, str], says: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InvalidApplication, match=says):
        WorkerApplication.from_asset(str(tmp_path))


@pytest.mark.parametrize("name", ["Procfile", "Buildfile", "package.json", "requirements.txt"])
def test_a_link_that_root_would_not_follow_is_refused_at_synth(app: Path, name: str) -> None:
    (app / "other").write_text("web: x\n")
    (app / name).unlink(missing_ok=True)
    (app / name).symlink_to("other")
    with pytest.raises(InvalidApplication, match=f"{name} is a link; put the file itself there"):
        WorkerApplication.from_asset(str(app))


@pytest.mark.parametrize("leads_to", ["/etc/hosts", "../../../../outside", "missing"])
def test_a_hook_that_is_a_link_out_of_the_bundle_is_refused_at_synth(
    app: Path, leads_to: str
) -> None:
    (app.parent / "outside").touch()
    hooks = app / ".platform/hooks/predeploy"
    hooks.mkdir(parents=True)
    (hooks / "01.sh").symlink_to(leads_to)
    (hooks / "02.sh").symlink_to("../../../run")
    with pytest.raises(InvalidApplication) as caught:
        WorkerApplication.from_asset(str(app))
    assert ".platform/hooks/predeploy/01.sh is a link that leads out of the bundle" in str(
        caught.value
    )
    assert "02.sh" not in str(caught.value)


@pytest.mark.parametrize("writer", ["Buildfile", ".platform/hooks/prebuild/1.sh"])
def test_a_procfile_may_be_written_by_the_build_or_a_hook(tmp_path: Path, writer: str) -> None:
    (tmp_path / writer).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / writer).write_text("make: ./make\n")
    WorkerApplication.from_asset(str(tmp_path))


@pytest.mark.parametrize("image", ["", "two words", "$(reboot)", "a;b", "-v"])
def test_what_is_no_name_of_an_image_is_refused(image: str) -> None:
    with pytest.raises(InvalidApplication, match="must name an image, such as"):
        WorkerApplication.from_container(image)


def test_a_directory_is_not_run_by_docker(app: Path) -> None:
    with pytest.raises(InvalidApplication, match="pass it by WorkerApplication"):
        WorkerApplication.from_asset(str(app), platform="docker")


def test_an_application_that_starts_slower_than_cloudformation_waits_is_refused(app: Path) -> None:
    application = WorkerApplication.from_asset(str(app), start_timeout=300)
    with pytest.raises(InvalidProps, match=r"start_timeout \(300 s\) must be at most 255 s"):
        template_of(application, signal_timeout=Duration.minutes(5))
    template_of(application, signal_timeout=Duration.minutes(6))


@pytest.mark.parametrize(
    "application",
    [
        lambda app: WorkerApplication.from_asset(app, port=8080),
        lambda app: WorkerApplication.from_asset(app, platform="node"),
        lambda app: WorkerApplication.from_container("public.ecr.aws/docker/library/httpd:2"),
    ],
)
def test_an_application_on_the_port_of_the_nginx_before_it_is_refused(
    app: Path, application: Callable[[str], WorkerApplication]
) -> None:
    with pytest.raises(InvalidProps, match=r"port \(8080\) must not be http_port \(8080\)"):
        template_of(application(str(app)), http_port=8080)
    template_of(application(str(app)), http_port=8081)


def tier_with(app: Path) -> WorkerTier:
    stack = new_stack()
    application = WorkerApplication.from_asset(str(app))
    return WorkerTier(stack, "Worker", vpc=vpc_of(stack), application=application)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PORT", "1", "environment property PORT is set by the tier; set port instead"),
        ("A B", "x", "environment property 'A B' must have a name of letters, digits, _"),
        ("A=hunter2", "x", "environment property 'A=...' must have a name of letters, digits, _"),
        ("A", "x\ny", "environment property A must be text of one line"),
        ("A", "x" * 5_000, "environment properties take 5002 bytes and may take 4096"),
    ],
)
def test_a_property_that_is_added_later_is_checked_as_well(
    app: Path, name: str, value: str, words: str
) -> None:
    with pytest.raises(InvalidProps) as caught:
        tier_with(app).add_environment(name, value)
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "value_of",
    [
        lambda: "{{resolve:secretsmanager:db:SecretString}}",
        lambda: "x{{resolve:ssm-secure:/hunter2}}y",
        lambda: SecretValue.secrets_manager("hunter2").unsafe_unwrap(),
        lambda: f"x{SecretValue.ssm_secure('/hunter2').unsafe_unwrap()}y",
    ],
    ids=["a text", "a text within another", "a token", "a token within a text"],
)
def test_a_dynamic_reference_in_the_environment_is_refused_and_its_hint_is_accepted(
    app: Path, value_of: Callable[[], str]
) -> None:
    value = value_of()
    hint = (
        "environment property Z holds a dynamic reference, {{resolve:...}}, which would put a"
        " secret into the template; write the ARN as its value, let the application read the secret"
        " when it starts, and grant it to the tier, as in secret.grant_read(tier)"
    )
    for make in (
        lambda: WorkerApplication.from_asset(str(app), environment={"Z": value}),
        lambda: WorkerApplication.from_container("nginx", environment={"Z": value}),
        lambda: WorkerApplication.from_asset(str(app)).with_defaults({"Z": value}),
        lambda: tier_with(app).add_environment("Z", value),
    ):
        with pytest.raises((InvalidApplication, InvalidProps)) as caught:
            make()
        assert hint in str(caught.value)
        assert "hunter2" not in str(caught.value)
    # and what the hint says is accepted
    stack = new_stack()
    secret = secretsmanager.Secret(stack, "Secret")
    application = WorkerApplication.from_asset(str(app), environment={"Z": secret.secret_arn})
    tier = WorkerTier(stack, "Worker", vpc=vpc_of(stack), application=application)
    assert secret.grant_read(tier).success


def test_every_problem_is_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidApplication) as caught:
        WorkerApplication.from_asset(
            str(tmp_path / "none"),
            platform="cobol",
            port=70_000,
            environment={"PORT": "1", "A": "x\n"},
            start_timeout=0,
        )
    assert len(caught.value.problems) == 6
    text = str(caught.value)
    for word in (
        "is not a directory",
        "cobol",
        "70000",
        "PORT is set",
        "one line",
        "start_timeout",
    ):
        assert word in text

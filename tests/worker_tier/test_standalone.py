"""A template for people without the CDK has an application, or asks for an image that has one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.worker_tier.stacks import Synthesized, resolved
from worker_tier import WorkerApplication, standalone
from worker_tier_bootstrap import paths
from worker_tier_bootstrap.user_data import files_in_user_data


class Written(Synthesized):
    """A standalone template, read like one of a stack."""

    def __init__(self, application: WorkerApplication | None = None) -> None:
        self.document: dict[str, Any] = standalone.template(application)
        self.resources = self.document["Resources"]

    @property
    def parameters(self) -> dict[str, dict[str, Any]]:
        return dict(self.document["Parameters"])

    def instance_document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(files_in_user_data(self.user_data())[paths.INSTANCE])
        return document

    def image(self) -> Any:
        return self.one("AWS::EC2::LaunchTemplate")["LaunchTemplateData"]["ImageId"]


@pytest.fixture(scope="module")
def application() -> WorkerApplication:
    root = Path(__file__).resolve().parents[2]
    return WorkerApplication.from_asset(str(root / "examples" / "node_worker"), port=3000)


@pytest.fixture(scope="module")
def with_application(application: WorkerApplication) -> Written:
    return Written(application)


@pytest.fixture(scope="module")
def with_image() -> Written:
    return Written()


def test_instances_install_the_application_from_the_bucket(
    with_application: Written, application: WorkerApplication
) -> None:
    assert application.bundle is not None
    written = with_application.instance_document()["application"]
    assert (written["kind"], written["port"]) == ("bundle", 3000)
    assert written["bundle"] == {
        "bucket": "ref-BundleBucket",
        "key": f"ref-BundlePrefix{standalone.application_name(application)}",
        "sha256": application.bundle.packed.sha256,
    }


def test_instances_may_read_both_archives_and_nothing_else(
    with_application: Written, application: WorkerApplication
) -> None:
    statements = with_application.statements("AWS::IAM::ManagedPolicy", "FleetPolicy")
    read = [s["Resource"] for s in statements if s["Action"] == "s3:GetObject"]
    prefix = "arn:ref-AWS-Partition:s3:::ref-BundleBucket/ref-BundlePrefix"
    assert {resolved(resource) for resource in read} == {
        f"{prefix}{standalone.bundle_name()}",
        f"{prefix}{standalone.application_name(application)}",
    }


def test_names_of_archives_are_no_parameters_for_an_update_keeps_those(
    with_application: Written,
) -> None:
    values = [parameter.get("Default", "") for parameter in with_application.parameters.values()]
    assert not [value for value in values if value.endswith(".zip")]


def test_with_an_application_the_image_may_be_chosen(with_application: Written) -> None:
    assert with_application.image() == {"Ref": "ImageParameter"}
    parameter = with_application.parameters["ImageParameter"]
    assert parameter["Type"] == "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>"
    assert "al2023" in parameter["Default"]
    without_default = {n for n, p in with_application.parameters.items() if "Default" not in p}
    assert without_default == {"VpcId", "SubnetIds", "BundleBucket"}


def test_without_an_application_an_image_must_be_named(with_image: Written) -> None:
    assert with_image.instance_document()["application"]["kind"] == "external"
    assert with_image.image() == {"Ref": "ImageId"}
    assert with_image.parameters["ImageId"]["Type"] == "AWS::EC2::Image::Id"
    without_default = {n for n, p in with_image.parameters.items() if "Default" not in p}
    assert without_default == {"VpcId", "SubnetIds", "BundleBucket", "ImageId"}


def test_the_command_writes_the_template_and_its_archives(
    tmp_path: Path, application: WorkerApplication, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = application.source
    assert standalone.main(["--application", directory, "--out", str(tmp_path / "out")]) == 0
    written = capsys.readouterr().out.split()
    assert sorted(written) == sorted(str(path) for path in (tmp_path / "out").iterdir())
    assert len(written) == 3


def test_the_command_prints_what_was_chosen_and_every_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "app").mkdir()
    for name in ("app.js", "cron.yml"):
        (tmp_path / "app" / name).write_text("")
    out = str(tmp_path / "out")
    assert standalone.main(["--application", str(tmp_path / "app"), "--out", out]) == 0
    info, warning = capsys.readouterr().err.splitlines()
    assert info.startswith(f"info: {tmp_path}/app runs on Node.js by app.js; ")
    assert warning.startswith("warning: cron.yml is not read")


def test_an_application_that_nothing_starts_is_reported_with_a_hint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert standalone.main(["--application", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "add a Procfile" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

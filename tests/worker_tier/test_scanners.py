"""What a reviewer runs first finds nothing: cdk-nag, cfn-lint, checkov, the CDK's own validator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import cdk_nag
import pytest
from aws_cdk import App, Stack, Validations
from aws_cdk import aws_cloudwatch_actions as cloudwatch_actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns

import app as example
from tests.conftest import _missing
from tests.worker_tier.examples import ALL, build_example
from tests.worker_tier.stacks import Synthesized
from tests.worker_tier.variants import VARIANTS, build
from worker_tier import WorkerApplication, standalone

# Programs of others, which a busy machine slows down.
pytestmark = pytest.mark.timeout(330)
ROOT = Path(__file__).resolve().parents[2]
CHECKOV = ROOT / ".venv-checkov" / "bin" / "checkov"
REPORT = "validation-report.json"
#: Findings that the constructs acknowledge, each of them documented in docs/guide/deploy.md.
ACKNOWLEDGED = {
    "container": {"AwsSolutions-IAM5[Resource::*]"},
    "fifo_spot_zero": {"AwsSolutions-EC26"},
    "session_manager_ubuntu": {"AwsSolutions-IAM4"},
}


def template_of(variant: str) -> dict[str, Any]:
    stack = Stack(App(), "Test")
    build(stack, variant)
    return Synthesized(stack).document


@pytest.mark.parametrize("variant", VARIANTS)
def test_cdk_nag_finds_nothing(variant: str, tmp_path: Path) -> None:
    app = App(outdir=str(tmp_path))
    build(Stack(app, "Test"), variant)
    Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks())
    app.synth()  # raises when a rule is violated
    assert violations(tmp_path) <= ACKNOWLEDGED.get(variant, set())


@pytest.mark.parametrize("name", ALL)
def test_cdk_nag_finds_nothing_in_an_example(name: str, tmp_path: Path) -> None:
    app = App(outdir=str(tmp_path))
    build_example(name, app)
    Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks())
    app.synth()  # raises when a rule is violated
    assert violations(tmp_path) <= ACKNOWLEDGED.get(name, set())


def test_cdk_nag_really_checks(tmp_path: Path) -> None:
    # given a tier that is spoiled
    app = App(outdir=str(tmp_path))
    tier = build(Stack(app, "Test"), "plain")
    tier.add_to_role_policy(iam.PolicyStatement(actions=["s3:*"], resources=["*"]))
    Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks())
    with pytest.raises(RuntimeError):
        app.synth()
    assert any("AwsSolutions-IAM5" in name for name in violations(tmp_path))


#: The packs of cdk-nag for audits.
PACKS = (
    cdk_nag.AwsSolutionsChecks,
    cdk_nag.HIPAASecurityChecks,
    cdk_nag.NIST80053R5Checks,
    cdk_nag.PCIDSS321Checks,
)


def audited(directory: Path, *, spoiled: bool) -> set[str]:
    """What all packs find in a tier with a key and with alarms that notify somebody."""
    app = App(outdir=str(directory))
    stack = Stack(app, "Test")
    tier = build(stack, "encrypted")
    topic = sns.Topic(stack, "Alarms", enforce_ssl=True, master_key=tier.queues.encryption_key)
    tier.add_alarm_action(cloudwatch_actions.SnsAction(topic))
    if spoiled:
        tier.add_to_role_policy(iam.PolicyStatement(actions=["s3:*"], resources=["*"]))
    Validations.of(app).add_plugins(*(pack() for pack in PACKS))
    with suppress(RuntimeError):  # what was violated is in the report
        app.synth()
    assert (directory / "Test.template.json").is_file()
    return violations(directory)


def test_no_pack_of_cdk_nag_finds_anything_with_a_key_and_alarm_actions(tmp_path: Path) -> None:
    assert audited(tmp_path, spoiled=False) == set()


def test_every_pack_of_cdk_nag_really_checks(tmp_path: Path) -> None:
    found = audited(tmp_path, spoiled=True)
    for prefix in ("AwsSolutions-", "HIPAA.Security-", "NIST.800.53.R5-", "PCI.DSS.321-"):
        assert any(name.startswith(prefix) for name in found), found


def violations(directory: Path) -> set[str]:
    report = directory / REPORT
    if not report.exists():
        return set()
    found: set[str] = set()
    for plugin in json.loads(report.read_text(encoding="utf-8"))["pluginReports"]:
        found |= {str(violation["ruleName"]) for violation in plugin["violations"]}
    return found


def test_cfn_lint_finds_nothing(tmp_path: Path) -> None:
    assert_clean({variant: template_of(variant) for variant in VARIANTS}, tmp_path)


def test_cfn_lint_finds_nothing_in_what_is_deployed(tmp_path: Path) -> None:
    application = WorkerApplication.from_asset(str(ROOT / "examples" / "node_worker"))
    templates = {
        **{name: Synthesized(build_example(name, App())).document for name in ALL},
        "standalone": standalone.template(application),
        "standalone-image": standalone.template(),
    }
    assert_clean(templates, tmp_path)


def assert_clean(templates: Mapping[str, dict[str, Any]], tmp_path: Path) -> None:
    """No finding of cfn-lint in any of the templates, by name."""
    files = []
    for name, template in templates.items():
        # what a template says of itself would count as a suppression
        assert "cfn-lint" not in json.dumps(template)
        file = tmp_path / f"{name}.template.json"
        file.write_text(json.dumps(template), encoding="utf-8")
        files.append(str(file))
    completed = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), "--template", *files],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert completed.returncode == 0, completed.stdout


def test_checkov_finds_nothing_when_a_key_is_given(tmp_path: Path) -> None:
    if not CHECKOV.exists():
        _missing("checkov", "run `make checkov`")
    file = tmp_path / "encrypted.template.json"
    file.write_text(json.dumps(template_of("encrypted")), encoding="utf-8")
    completed = subprocess.run(
        [
            *(CHECKOV, "--file", file, "--framework", "cloudformation"),
            *("--skip-download", "--compact", "--output", "json"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    report = json.loads(completed.stdout)
    failed = [check["check_id"] for check in report["results"]["failed_checks"]]
    assert failed == []
    assert report["summary"]["passed"] > 25


def test_the_app_runs_anywhere_and_the_cdks_own_validator_in_strict_mode_finds_nothing(
    tmp_path: Path,
) -> None:
    # the one run with the validator on; elsewhere its seconds a process are saved
    context = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    assert context["@aws-cdk/core:validateAgainstDefaultRules"] is True
    completed = subprocess.run(
        [sys.executable, str(example.__file__)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        env=os.environ
        | {
            "CDK_VALIDATION": "true",
            "CDK_CONTEXT_JSON": json.dumps(context),
            "CDK_OUTDIR": str(tmp_path),
        },
    )
    assert completed.returncode == 0, completed.stderr
    assert violations(tmp_path) == set()

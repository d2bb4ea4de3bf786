"""docs/reference/beanstalk-options.md, from the table of outcomes in the bootstrap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from worker_tier_bootstrap.beanstalk import IMAGE, OPTIONS, PROCFILE, Option, Outcome
from worker_tier_bootstrap.beanstalk.options import ANY_NAME, ANY_VALUE, COMPARED, SOURCES

ROOT: Final = Path(__file__).resolve().parents[2]
BEANSTALK_PAGE: Final = ROOT / "docs" / "reference" / "beanstalk-options.md"
_INTRODUCTION: Final = """# Options of Elastic Beanstalk

Generated from `worker_tier_bootstrap/beanstalk/options.py` by `make reference`.

    from pathlib import Path

    from aws_cdk import aws_ec2 as ec2
    from worker_tier import WorkerApplication, WorkerMachineImage, WorkerTier

    WorkerTier.from_option_settings(
        self,
        "Worker",
        Path("saved.cfg.yml"),
        vpc=ec2.Vpc.from_lookup(self, "Vpc", is_default=True),  # unless aws:ec2:vpc names one
        application=WorkerApplication.from_asset("app"),
        machine_image=WorkerMachineImage.amazon_linux_2023(),
    )

A document is read in the form in which you have it: option settings of `.ebextensions`, as a list
or by namespace, alone or in a whole `.config` file; a saved configuration; all that `aws
elasticbeanstalk describe-configuration-settings --output json` prints; the list of a CloudFormation
template, or the whole template; Terraform's settings as a list, or its configuration in JSON. A
`pathlib.Path` is a file, in UTF-8 or with the mark of another encoding, a `str` the text of a YAML
or JSON document. An entry without a namespace is an environment property, with a warning if an
option has its name.

Each option has one of three outcomes:

- *honoured*: it becomes a prop of the tier.
- *passed over*: it has no effect. A warning of `cdk synth` says what is there instead, unless
  nothing is lost.
- *refused*: `cdk synth` ends with an error that says what to write instead. All refusals come at
  once; of one kind ten are listed and the rest is counted. Numbers out of the range that Elastic
  Beanstalk documents, and what only the deployment would refuse, are refused too.

An option that the tier cannot honour yet says what to do today: there are no props for secrets and
for batches of a deployment.

A prop that code gives wins over a setting, with a warning that names both. Values that
CloudFormation fills in, in backticks or as data, are resolved in environment properties where the
deployment is known: `AWS::Region` and the other pseudo parameters, `AWSEBWorkerQueue`,
`AWSEBWorkerDeadLetterQueue`, and `Fn::Join`, `Fn::Sub`, `Fn::Select`, `Fn::Split`, `Fn::FindInMap`
and `Fn::GetOptionSetting` of them. A parameter of a template has its default, with a warning.
Everything else is refused by its name, and so is `{{resolve:...}}`, in any argument of a function:
it would put a secret into the template. An option or a namespace that is not listed here is
refused, with the nearest name if one is near.

What is no settings document is refused with what to do about it: Terraform's language, `.env` and
INI files, what `eb printenv` or `--output text` print, templates, Markdown. No message shows the
value of an environment property, the text behind an equals sign or the query of a path.
"""


def beanstalk_options_page() -> str:
    """Return the page."""
    sections = [_INTRODUCTION, *_sources()]
    for namespace, rows in OPTIONS.items():
        sections += _namespace(namespace, rows)
    return "\n".join(sections) + "\n"


def _sources() -> Iterator[str]:
    yield f"The table was compared with these pages on {COMPARED}:\n"
    for title, url, edition in SOURCES:
        yield f"- [{title}]({url}), {edition}"


def _namespace(namespace: str, rows: Mapping[str, Option]) -> Iterator[str]:
    yield f"\n## `{namespace.replace(':*', ':NAME')}`\n"
    yield "| option | outcome | what happens here |"
    yield "|---|---|---|"
    for name, option in rows.items():
        shown = "any name" if name == ANY_NAME else f"`{name}`"
        yield f"| {shown} | {option.outcome.value} | {_what_happens(option)} |"


def _what_happens(option: Option) -> str:
    if option.outcome is Outcome.HONOURED:
        texts = [option.effect]
    else:
        texts = [f"{option.reason}; {option.hint}" if option.hint else option.reason]
    if option.lossless:
        texts.append(_lossless(option))
    if option.notice:
        texts.append(option.notice)
    if option.decided_by and not option.effect.startswith("becomes"):
        texts.append(f"{_listed(option.decided_by)} decides in its place")
    return ". ".join(text[:1].upper() + text[1:] for text in texts).replace("|", "\\|") + "."


def _lossless(option: Option) -> str:
    if ANY_VALUE in option.lossless:
        return "nothing is lost with any value"
    return f"nothing is lost with {_listed(option.lossless)}"


def _listed(names: tuple[str, ...]) -> str:
    plain = {PROCFILE: "a Procfile", IMAGE: "a container image"}
    shown = [plain.get(name, f"`{name}`") for name in names]
    return " or ".join(shown)

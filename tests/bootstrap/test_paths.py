"""Templates repeat paths of `paths`; each of them must be one of these, or below one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import worker_tier_bootstrap
from sqsd.contract import SETTINGS_PATH
from worker_tier_bootstrap import paths, user_data

TEMPLATES = sorted(Path(worker_tier_bootstrap.__path__[0], "templates").glob("*"))
#: Paths in a template that `paths` could know.
OURS = re.compile(
    r"/(?:etc/worker-tier|opt/worker-tier|run/worker-tier|var/app|var/lib/worker-tier"
    r"|var/log/worker-tier)[\w./-]*"
)
#: Paths that only one template knows.
ONLY_HERE = {
    "/opt/worker-tier/python",
    "/var/lib/worker-tier/logrotate.state",
    "/var/log/worker-tier/bootstrap.log",
    "/var/app/current/index.php",
}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_names_no_path_that_the_code_does_not_know(template: Path) -> None:
    known = {value for value in vars(paths).values() if isinstance(value, str)}
    found = set(OURS.findall(template.read_text(encoding="utf-8")))
    assert {path.rstrip("/.") for path in found} <= known | ONLY_HERE


def test_each_path_that_only_a_template_knows_is_in_one() -> None:
    text = "".join(template.read_text(encoding="utf-8") for template in TEMPLATES)
    assert {path for path in ONLY_HERE if path in text} == ONLY_HERE


def test_settings_and_periodic_tasks_are_beside_the_description_of_the_instance() -> None:
    directories = {
        str(Path(path).parent) for path in (SETTINGS_PATH, user_data.CRON_PATH, paths.INSTANCE)
    }
    assert directories == {paths.CONFIGURATION}

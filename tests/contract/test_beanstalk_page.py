"""The page of Elastic Beanstalk's options says what the table says of all that AWS documents."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tools.reference.beanstalk_options import BEANSTALK_PAGE, beanstalk_options_page

DOCUMENTED = json.loads(
    (
        Path(__file__).parents[1] / "bootstrap" / "beanstalk" / "data" / "documented_options.json"
    ).read_text(encoding="utf-8")
)


def test_the_page_is_what_is_generated_from_the_table() -> None:
    found = BEANSTALK_PAGE.read_text(encoding="utf-8")
    assert found == beanstalk_options_page(), "run `make reference`"


def test_the_page_has_every_documented_option_with_an_outcome_and_each_source() -> None:
    page = BEANSTALK_PAGE.read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## `(.+)`\n\n((?:\|.*\n)+)", page, re.MULTILINE))
    missing = []
    for source in DOCUMENTED["pages"]:
        assert f"[{source['title']}]({source['url']})" in page
        for namespace, options in source["options"].items():
            rows = sections.get(namespace.replace(":*", ":NAME"), "")
            for option in options:
                named = re.escape("any name" if option == "*" else f"`{option}`")
                row = (
                    rf"^\| (?:{named}|any name) \| (?:honoured|passed over|refused) \| \S.*\.\ \|$"
                )
                if not re.search(row, rows, re.MULTILINE):
                    missing.append(f"{namespace}:{option}")
    assert missing == []
    assert DOCUMENTED["made"] in page

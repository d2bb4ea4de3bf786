"""The generated files of docs/, each with the function that makes its text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tools.reference.beanstalk_options import BEANSTALK_PAGE, beanstalk_options_page
from tools.reference.cli import CLI_PAGE, cli_page
from tools.reference.cost import COST_PAGE, cost_page
from tools.reference.errors import ERRORS_PAGE, errors_page
from tools.reference.events import EVENTS_PAGE, events_page
from tools.reference.headers import HEADERS_PAGE, headers_page
from tools.reference.llms import LLMS_FILE, llms_text
from tools.reference.metrics import METRICS_PAGE, metrics_page
from tools.reference.options import OPTIONS_PAGE, options_page
from tools.reference.props import PAGE, props_page
from tools.reference.tier_json import SCHEMA_FILE, TIER_JSON_PAGE, schema_text, tier_json_page

PAGES: Final[Mapping[Path, Callable[[], str]]] = {
    PAGE: props_page,
    BEANSTALK_PAGE: beanstalk_options_page,
    OPTIONS_PAGE: options_page,
    EVENTS_PAGE: events_page,
    METRICS_PAGE: metrics_page,
    HEADERS_PAGE: headers_page,
    CLI_PAGE: cli_page,
    TIER_JSON_PAGE: tier_json_page,
    SCHEMA_FILE: schema_text,
    ERRORS_PAGE: errors_page,
    COST_PAGE: cost_page,
    # Last, for it lists the others.
    LLMS_FILE: llms_text,
}

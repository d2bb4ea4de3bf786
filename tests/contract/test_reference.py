"""Generated pages of docs/reference are up to date with what they are generated from."""

from __future__ import annotations

from tools.reference.props import PAGE, groups, props_page
from worker_tier import TierProps


def test_the_page_of_props_is_what_is_generated_from_their_descriptions() -> None:
    assert PAGE.read_text(encoding="utf-8") == props_page(), "run `make reference`"


def test_the_page_has_every_prop_once_with_its_type_and_default() -> None:
    props = [prop for group in groups() for prop in group.props]
    assert sorted(prop.name for prop in props) == sorted(TierProps.__annotations__)
    assert [prop.name for prop in props if prop.default is None] == ["vpc"]
    assert all(prop.meaning and prop.type for prop in props)

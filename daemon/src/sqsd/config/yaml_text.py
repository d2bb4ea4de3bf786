"""Reads YAML that people write, without letting a few lines of it stand for gigabytes."""

from __future__ import annotations

from typing import Any, Final

import yaml

from sqsd.base.shortened import shortened

#: Longest text, in characters: 64 KiB. A file of Elastic Beanstalk's daemon has some 1,000.
_LONGEST: Final = 65_536
#: Longest reason, in characters; it may quote the text.
_LONGEST_REASON: Final = 300


class UnreadableYaml(ValueError):
    """A text is not YAML, or not of the kind that settings need; the message says why."""


def read_yaml(text: str) -> Any:
    """Return the value of a text: scalars, lists and mappings.

    Raises:
        UnreadableYaml: with the reason.
    """
    if len(text) > _LONGEST:
        raise UnreadableYaml(f"has {len(text)} characters, must have at most {_LONGEST}")
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise UnreadableYaml("YAML aliases (*name) are not accepted; write each value out")
        return yaml.safe_load(text)
    except RecursionError as error:
        raise UnreadableYaml("not YAML of settings: nested too deeply") from error
    except yaml.YAMLError as error:
        raise UnreadableYaml(f"not YAML: {_one_line(error)}") from error
    except UnreadableYaml:
        raise
    except ValueError as error:  # a date that no calendar has, a number of thousands of digits
        raise UnreadableYaml(f"not a value: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return shortened(" ".join(str(error).split()), _LONGEST_REASON)

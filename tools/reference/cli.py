"""docs/reference/cli.md, from the parsers of the command lines.

The text is made here and not by argparse, whose layout depends on the version of Python and on the
width of the terminal.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from textwrap import fill
from typing import Final

import worker_tier.standalone
import worker_tier_bootstrap.__main__
from sqsd.__main__ import parser as sqsd_parser
from tools.reference.constants import ROOT

CLI_PAGE: Final = ROOT / "docs" / "reference" / "cli.md"
#: Width of prose in the documents, columns.
_WIDTH: Final = 100
_INTRODUCTION: Final = """# Commands

Generated from the parsers by `make reference`; `--help` prints the same.

Exit codes of `sqsd run`: 0 the daemon finished all messages in flight; 1 some were cut short, or
there was a defect; 2 the settings or arguments cannot be used, and nothing was received. Other
commands: 0 done; 1 AWS refused, a step failed, or what was asked for does not exist; 2 the
arguments cannot be used.
"""
#: Each command with the first line of what it is for.
_COMMANDS: Final = (
    (sqsd_parser, "On instances, and on any machine with `pip install worker-tier-daemon`."),
    (worker_tier.standalone.parser, "On your machine, with `pip install worker-tier`."),
    (
        worker_tier_bootstrap.__main__.parser,
        "On instances; user data runs it. `plan` is for people, and changes nothing.",
    ),
)


class NoHelp(ValueError):
    """An argument has no help, so neither the page nor `--help` can say what it is for."""


def cli_page() -> str:
    """Return the page.

    Raises:
        NoHelp: an argument has no help.
    """
    sections = [_INTRODUCTION]
    for parser, where in _COMMANDS:
        made = parser()
        described = fill(f"{_sentence(made.description)} {where}", _WIDTH)
        sections += [f"## `{made.prog}`\n", f"{described}\n"]
        sections += _arguments(made)
        sections += _commands(made)
    return "\n".join(sections)


def _commands(parser: argparse.ArgumentParser) -> Iterator[str]:
    shown: dict[str, str] = {}
    for name, (meaning, command) in _subcommands(parser).items():
        nested = _subcommands(command)
        if nested:
            yield from _commands(command)
            continue
        yield f"### `{parser.prog} {name}`\n"
        yield f"{_sentence(meaning)}\n"
        yield f"```text\n{command.prog} {_usage(command)}\n```\n".replace(" \n", "\n")
        table = "\n".join(_arguments(command))
        if (same := shown.get(table)) is not None:
            yield f"It takes the arguments of `{same}`.\n"
        elif table:
            shown[table] = command.prog
            yield table


def _subcommands(
    parser: argparse.ArgumentParser,
) -> dict[str, tuple[str, argparse.ArgumentParser]]:
    """Return name -> what `--help` says of it, and its parser."""
    found: dict[str, tuple[str, argparse.ArgumentParser]] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            meanings = {one.dest: one.help or "" for one in action._choices_actions}
            found |= {name: (meanings[name], made) for name, made in action.choices.items()}
    return found


def _usage(parser: argparse.ArgumentParser) -> str:
    positional = [str(action.metavar or action.dest) for action in _given(parser, flags=False)]
    options = ["[OPTIONS]"] if any(_given(parser, flags=True)) else []
    return " ".join([*options, *positional])


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    rows = [
        f"| {_shown(action)} | {_help(action)} |"
        for flags in (False, True)
        for action in _given(parser, flags=flags)
    ]
    if rows:
        yield "\n".join(("| argument | meaning |", "|---|---|", *rows, ""))


def _given(parser: argparse.ArgumentParser, *, flags: bool) -> Iterator[argparse.Action]:
    for action in parser._actions:
        helps = isinstance(action, argparse._HelpAction | argparse._SubParsersAction)
        if not helps and bool(action.option_strings) == flags:
            yield action


def _shown(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`{action.metavar or action.dest}`"
    value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
    return ", ".join(f"`{flag}{value}`" for flag in action.option_strings)


def _help(action: argparse.Action) -> str:
    if not action.help:
        raise NoHelp(f"{_shown(action)} has no help; say what it is for")
    meaning = action.help.replace("%(default)s", str(action.default))
    return meaning.replace("|", "\\|")


def _sentence(text: str | None) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""

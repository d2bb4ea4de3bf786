"""Patterns mean what they mean to git, and `.ebignore` asks for each file alone."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker_tier_bootstrap.assessment.ignore_file import IgnoreFile

PATHS = ["a", "b", "ab", "a/b", "a/b/c", "b/a", "a.b/c", "ab/a.b", "c/a/b/ab", "b/c/a.b"]


def file_by_file(text: str, paths: list[str]) -> set[str]:
    """The paths that stay in by the rule of `.ebignore`."""
    rules = IgnoreFile.parse(text.split("\n"))
    return {path for path in paths if not rules.ignores_file(path)}


def as_git(text: str, path: str) -> bool:
    """Whether a file is ignored by the rule of `.gitignore`: directory by directory."""
    rules = IgnoreFile.parse(text.split("\n"))
    parts = path.split("/")
    return any(
        rules.verdict("/".join(parts[:count]), is_directory=count < len(parts))
        for count in range(1, len(parts) + 1)
    )


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "-q", str(directory)], check=True)
    return directory


def asked(repository: Path, text: str, paths: list[str]) -> set[str]:
    """The paths that git itself ignores by a `.gitignore`."""
    (repository / ".gitignore").write_text(text)
    done = subprocess.run(
        ["git", "-C", str(repository), "check-ignore", "--no-index", "-z", "--stdin"],
        input="\0".join(paths).encode(),
        capture_output=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return {path.decode() for path in done.stdout.split(b"\0") if path}


@pytest.mark.parametrize(
    "text",
    [
        "a", "/a", "a/", "a/b", "*.b", "/*", "*", "**", "a/**", "**/b", "a/**/c", "a*", "?", "[ab]",
        "[!a]", "[a-b]b", "\\a", "# a", "\\#", "!a", "*\n!a", "*\n!a/\n!b", "a \n", "a\\ ", "*/b",
        "a/*\n!a/b", "b/\n!b/a", "[", "[a", "a\\", "[]a]", "[[:alpha:]]", "//a", "a**b", "**a",
        "/**/a", "a/b/", "*.b/", "!*\na", "**/", "/", "a//b", "*\n!*/\n!ab",
    ],
)  # fmt: skip
def test_patterns_mean_what_they_mean_to_git(repository: Path, text: str) -> None:
    files = [path for path in PATHS if not any(other.startswith(f"{path}/") for other in PATHS)]
    assert {path for path in files if as_git(text, path)} == asked(repository, text, files)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    lines=st.lists(
        # Git alone lets a class of characters have a slash.
        st.text(alphabet="ab.*?/![]^", min_size=1, max_size=6).filter(
            lambda line: not re.search(r"\[[^]]*/", line)
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_patterns_mean_what_they_mean_to_git(repository: Path, lines: list[str]) -> None:
    text = "\n".join(lines)
    files = [path for path in PATHS if not any(other.startswith(f"{path}/") for other in PATHS)]
    assert {path for path in files if as_git(text, path)} == asked(repository, text, files)


@pytest.mark.parametrize(
    ("text", "stay"),
    [
        ("*\n!dist/**\n!Procfile", {"dist/main.js", "dist/a/b.js", "Procfile"}),
        ("*\n!dist/", {"dist/main.js", "dist/a/b.js", "dist/node_modules/x"}),
        ("*\n!dist/**\nnode_modules", {"dist/main.js", "dist/a/b.js"}),
        ("dist/a/\n", {"dist/main.js", "dist/node_modules/x", "Procfile", "src/x"}),
        ("# all\n\ndist\nsrc\r\n", {"Procfile"}),
        ("dist\n!dist/main.js", {"Procfile", "src/x", "dist/main.js"}),
        ("/*\n!/src", {"src/x"}),
    ],
)
def test_ebignore_is_asked_for_each_file_alone(text: str, stay: set[str]) -> None:
    paths = ["dist/main.js", "dist/a/b.js", "dist/node_modules/x", "Procfile", "src/x"]
    expected = stay - ({"dist/node_modules/x"} if text.endswith("node_modules") else set())
    if text == "*\n!dist/**\n!Procfile":
        expected = expected | {"dist/node_modules/x"}
    assert file_by_file(text, paths) == expected

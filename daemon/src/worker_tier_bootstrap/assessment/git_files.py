"""Asks git which files of a working tree it does not ignore."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

#: Longest time that one call of git may take, in seconds; a large tree takes less than one.
_TIMEOUT_SECONDS: Final = 120
#: Git's mode of a directory that is another repository: a submodule.
_SUBMODULE: Final = "160000"
#: Variables that would make git read another repository than that of the directory; a hook of git
#: that runs `cdk synth` sets them.
_REPOSITORY_VARIABLES: Final = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_CEILING_DIRECTORIES",
)


class GitUnusable(Exception):
    """Git is missing or cannot list the files; the text says why."""


@dataclass
class GitFiles:
    """Holds the files of a working tree by their paths below the directory that was asked for.

    Args:
        tracked: what git knows, submodules included; some may be deleted from the tree.
        untracked: what git does not know and does not ignore.
        missing_submodules: paths of submodules that are not checked out.
    """

    tracked: list[str] = field(default_factory=list)
    untracked: list[str] = field(default_factory=list)
    missing_submodules: list[str] = field(default_factory=list)


def is_working_tree(directory: Path) -> bool:
    """Return whether a directory lies in a working tree of git; git itself is not needed."""
    resolved = directory.resolve()
    return any((parent / ".git").exists() for parent in (resolved, *resolved.parents))


def is_ignored(directory: Path) -> bool:
    """Return whether git ignores the directory itself, such as the output of a build.

    Raises:
        GitUnusable: git is missing or fails.
    """
    # 0: ignored; 1: not ignored.
    return _run(directory, ["check-ignore", "-q", "."], codes=(0, 1)).returncode == 0


def git_files(directory: Path, *, submodules: bool) -> GitFiles:
    """List the files below a directory that git does not ignore.

    Args:
        submodules: whether the files of submodules belong to them.

    Raises:
        GitUnusable: git is missing or fails, such as in a tree of another user's.
    """
    found = GitFiles()
    _add(found, directory, "", submodules=submodules)
    exported = _left_out_of_archives(directory, found.tracked)
    found.tracked = [path for path in found.tracked if path not in exported]
    return found


def _add(found: GitFiles, root: Path, prefix: str, *, submodules: bool) -> None:
    directory = root / prefix
    for line in _paths(directory, ["ls-files", "-z", "--stage"]):
        mode, _, path = line.partition("\t")
        if not mode.startswith(_SUBMODULE):
            found.tracked.append(prefix + path)
        elif submodules:
            _add_submodule(found, root, prefix + path)
    found.tracked = list(dict.fromkeys(found.tracked))  # a conflict has up to three entries
    for path in _paths(directory, ["ls-files", "-z", "--others", "--exclude-standard"]):
        if path.endswith("/"):  # another repository that this one does not know
            _add_repository(found, root, prefix + path)
        else:
            found.untracked.append(prefix + path)


def _add_submodule(found: GitFiles, root: Path, path: str) -> None:
    if (root / path / ".git").exists():
        _add(found, root, f"{path}/", submodules=True)
    else:
        found.missing_submodules.append(path)


def _add_repository(found: GitFiles, root: Path, prefix: str) -> None:
    """Add the files of a repository inside of this one, all of which are untracked here."""
    inner = GitFiles()
    _add(inner, root, prefix, submodules=True)
    found.untracked += [*inner.tracked, *inner.untracked]
    found.missing_submodules += inner.missing_submodules


def _left_out_of_archives(directory: Path, tracked: list[str]) -> set[str]:
    """Return the files that `git archive`, and so the EB CLI, leaves out: `export-ignore`."""
    if not any(path.rpartition("/")[2] == ".gitattributes" for path in tracked):
        return set()
    # An attribute of a directory is not one of its files, but leaves them out, too.
    asked = {parent for path in tracked for parent in _with_parents(path)}
    words = _paths(
        directory,
        ["check-attr", "-z", "--stdin", "export-ignore"],
        "".join(f"{path}\0" for path in sorted(asked)),
    )
    marked = {path for path, value in zip(words[::3], words[2::3], strict=True) if value == "set"}
    return {path for path in tracked if not marked.isdisjoint(_with_parents(path))}


def _with_parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _paths(directory: Path, arguments: list[str], text: str = "") -> list[str]:
    output = _run(directory, arguments, text=text).stdout
    return [os.fsdecode(path) for path in output.split(b"\0") if path]


def _run(
    directory: Path, arguments: list[str], *, text: str = "", codes: tuple[int, ...] = (0,)
) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("git")
    if program is None:
        raise GitUnusable("git is not installed")
    environment = {k: v for k, v in os.environ.items() if k not in _REPOSITORY_VARIABLES}
    # A repository's own configuration may name a program that git would run.
    command = [program, "-c", "core.fsmonitor=false", "-C", str(directory), *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - the arguments are ours
            command,
            input=os.fsencode(text),
            capture_output=True,
            env={**environment, "LC_ALL": "C"},
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitUnusable(str(error)) from error
    if done.returncode not in codes:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise GitUnusable(lines[0][:200] if lines else f"exit code {done.returncode}")
    return done

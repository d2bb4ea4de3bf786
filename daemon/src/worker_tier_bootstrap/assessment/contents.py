"""Decides once which files a source bundle has; every check and the archive read this list.

A directory's files are decided by the first of these that there is:

1. `deploy.artifact` of `.elasticbeanstalk/config.yml`: an archive that a build makes
2. `.ebignore`
3. git: the files of its working tree that it does not ignore
4. `.gitignore`, where git is missing
5. nothing: all files

Sources: EB CLI configuration, "Deploying an artifact instead of the project folder" and "Using an
.ebignore file"; EB developer guide, "Create an application source bundle".
"""

from __future__ import annotations

import io
import os
import posixpath
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from worker_tier_bootstrap.assessment.git_files import (
    GitUnusable,
    git_files,
    is_ignored,
    is_working_tree,
)
from worker_tier_bootstrap.assessment.ignore_file import IgnoreFile
from worker_tier_bootstrap.assessment.report import refusal, some, warning
from worker_tier_bootstrap.beanstalk.documents import (
    Node,
    Scalar,
    Table,
    UnreadableDocument,
    read_document,
)
from worker_tier_bootstrap.beanstalk.findings import Finding
from worker_tier_bootstrap.platforms import PLATFORM_DIRECTORY

#: Largest size of an unpacked source bundle, in bytes; an instance refuses a larger one.
MAX_UNPACKED_BYTES: Final = 4 * 1024**3
#: Most of a file that a check reads, in bytes: more than the largest document, whatever its text.
MAX_TEXT_BYTES: Final = 4_300_000
#: Most links of links that are followed.
_MOST_LINKS: Final = 10
EBIGNORE: Final = ".ebignore"
_GITIGNORE: Final = ".gitignore"
_EB_CONFIG: Final = ".elasticbeanstalk/config.yml"
#: Names of directories and files that no bundle has, wherever they stand: what belongs to git and
#: the EB CLI, and what Python, macOS and the CDK leave behind.
_NEVER: Final = frozenset(
    {".git", ".elasticbeanstalk", ".hg", ".svn", "__pycache__", ".DS_Store", "cdk.out"}
)
_JAR: Final = "application.jar"


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleFile:
    """Is a file of a source bundle.

    Args:
        size_bytes: its size before it is packed.
        executable: whether its owner may execute it, or None if an archive does not say.
        link: the target of a symbolic link, or None for a file.
        open: opens its content.
    """

    size_bytes: int
    open: Callable[[], BinaryIO]
    executable: bool | None = False
    link: str | None = None


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Holds the files of a source bundle.

    Args:
        source: the directory or the archive, as it was named.
        decided_by: what decided which files it has, such as `.ebignore`.
        files: path -> file, `/` between names.
        findings: what is wrong with the list.
        directory: the directory that the files come from, or None for an archive.
    """

    source: str
    decided_by: str
    files: Mapping[str, BundleFile] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    directory: Path | None = None

    @property
    def names(self) -> set[str]:
        """Return the names at the top of the bundle, of files and directories."""
        return {path.partition("/")[0] for path in self.files}

    def has(self, path: str) -> bool:
        """Return whether the bundle has a file of this path, itself or by a link."""
        return self._file(path) is not None

    def under(self, directory: str) -> list[str]:
        """Return the sorted paths of all files below a directory of the bundle."""
        return sorted(path for path in self.files if path.startswith(f"{directory}/"))

    def linked(self, directory: str) -> dict[str, str]:
        """Return the files below a directory as they are once links are followed.

        Returns:
            Path below the directory -> path of the file that it is in the bundle.
        """
        found: dict[str, str] = {}
        self._follow(directory, directory, found, frozenset())
        return dict(sorted(found.items()))

    def _follow(
        self, shown: str, path: str, found: dict[str, str], followed: frozenset[str]
    ) -> None:
        file = self.files.get(path)
        if file is None:
            for below in self.under(path):
                self._follow(shown + below[len(path) :], below, found, followed)
        elif file.link is None:
            found[shown] = path
        elif path not in followed:
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), file.link))
            self._follow(shown, target, found, followed | {path})

    def read_bytes(self, path: str, limit: int = MAX_TEXT_BYTES) -> bytes | None:
        """Return the beginning of a file, or None if there is none.

        Raises:
            OSError: the file cannot be read.
        """
        file = self._file(path)
        if file is None:
            return None
        with file.open() as opened:
            return opened.read(limit)

    def read(self, path: str) -> str | None:
        """Return a file's text, or None if there is no such file or it cannot be read.

        What is not UTF-8 is replaced, so that a reader reports it by its line.
        """
        try:
            content = self.read_bytes(path)
        except OSError:
            return None
        return None if content is None else content.decode(errors="replace")

    def is_left_out(self, path: str) -> bool:
        """Return whether a file exists in the directory, but is not in the bundle."""
        if self.directory is None or self.has(path) or path.startswith(("/", "../")):
            return False
        return (self.directory / path).is_file()

    def _file(self, path: str) -> BundleFile | None:
        for _ in range(_MOST_LINKS):
            file = self.files.get(posixpath.normpath(path))
            if file is None or file.link is None:
                return file
            path = posixpath.join(posixpath.dirname(path), file.link)
        return None


def unusable(source: str, finding: Finding) -> Contents:
    """Return contents without files because of a refusal."""
    return Contents(source=source, decided_by="nothing", findings=(finding,))


def directory_contents(directory: Path) -> Contents:
    """Return the files of a directory, less those that are ignored.

    A `deploy.artifact` is not followed; see `artifact_of`.
    """
    found = _Listing(directory)
    paths, decided_by = found.paths()
    files = {path: file for path in paths if (file := found.file(path)) is not None}
    contents = Contents(
        source=str(directory),
        decided_by=decided_by,
        files=dict(sorted(files.items())),
        findings=tuple(found.findings),
        directory=directory,
    )
    return replace(contents, findings=(*contents.findings, *list_findings(contents)))


def artifact_of(directory: Path) -> tuple[Path | None, list[Finding]]:
    """Return the archive that `.elasticbeanstalk/config.yml` deploys, or None if it names none."""
    config, findings = _eb_config(directory)
    named = _value(config, "deploy", "artifact")
    if named is None:
        return None, findings
    artifact = directory / named
    if not artifact.is_file():
        hint = "build it before the stack is synthesized, or remove deploy.artifact"
        findings.append(
            refusal(f"deploy.artifact names {named}, which is no file", hint, _EB_CONFIG)
        )
    return artifact, findings


def _eb_config(directory: Path) -> tuple[Node | None, list[Finding]]:
    path = directory / _EB_CONFIG
    try:
        return read_document(path.read_text(encoding="utf-8")), []
    except FileNotFoundError:
        return None, []
    except (OSError, UnicodeDecodeError) as error:
        return None, [refusal(f"{_EB_CONFIG} cannot be read: {error}", "correct it", _EB_CONFIG)]
    except UnreadableDocument as error:
        place = replace(error.place, file=_EB_CONFIG)
        return None, [refusal(error.problem, error.hint or "correct it", place=place)]


def _value(node: Node | None, *keys: str) -> str | None:
    for key in keys:
        node = node.get(key) if isinstance(node, Table) else None
    return node.value if isinstance(node, Scalar) else None


# ---- what a directory has


@dataclass
class _Listing:
    """Lists the files of a directory, and reports what is doubtful about them."""

    directory: Path
    findings: list[Finding] = field(default_factory=list)

    def paths(self) -> tuple[Iterable[str], str]:
        """Return the paths, and what decided."""
        ebignore = self._ignore_file(EBIGNORE)
        if ebignore is not None:
            return list(self._by_ebignore(ebignore)), EBIGNORE
        if is_working_tree(self.directory):
            try:
                if not is_ignored(self.directory):
                    return self._by_git(), "git"
            except GitUnusable as error:
                self.findings.append(
                    warning(
                        f"git cannot list the files ({error}), so {_GITIGNORE} files alone decide",
                        "make git work here, or write an .ebignore",
                    )
                )
        decided_by = _GITIGNORE if (self.directory / _GITIGNORE).is_file() else "no ignore file"
        return list(self._by_gitignore("", [])), decided_by

    def file(self, path: str) -> BundleFile | None:
        """Return a file of the directory, or None, with a finding if it is none that can be packed.

        A file that git knows and that was deleted is none.
        """
        place = self.directory / path
        if not _NEVER.isdisjoint(path.split("/")) or path == EBIGNORE:
            return None
        try:
            found = place.lstat()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._unreadable(path, error)
            return None
        return self._packable(path, place, found)

    def _packable(self, path: str, place: Path, found: os.stat_result) -> BundleFile | None:
        if stat.S_ISLNK(found.st_mode):
            target = str(place.readlink())
            opener = partial(_opened_text, target)
            return BundleFile(size_bytes=len(os.fsencode(target)), open=opener, link=target)
        if not stat.S_ISREG(found.st_mode):
            hint = "remove it, or leave it out with an .ebignore"
            self.findings.append(warning(f"{path} is no file and is not packed", hint, path))
            return None
        if not os.access(place, os.R_OK):
            self._unreadable(path, PermissionError("permission denied"))
            return None
        return BundleFile(
            size_bytes=found.st_size,
            open=partial(_opened, place),
            executable=bool(found.st_mode & stat.S_IXUSR),
        )

    def _unreadable(self, path: str, error: OSError) -> None:
        hint = "make it readable, or leave it out with an .ebignore"
        reason = (error.strerror or str(error)).lower()
        self.findings.append(refusal(f"{path} cannot be read: {reason}", hint, path))

    def _ignore_file(self, path: str) -> IgnoreFile | None:
        place = self.directory / path
        if not place.is_file():
            return None
        try:
            text = place.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            hint = "save it as UTF-8, readable for whoever synthesizes"
            self.findings.append(refusal(f"{path} cannot be read: {error}", hint, path))
            return IgnoreFile(())
        return IgnoreFile.parse(text.split("\n"))

    def _entries(self, prefix: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.directory / prefix) as entries:
                return sorted(
                    (entry for entry in entries if entry.name not in _NEVER),
                    key=lambda entry: entry.name,
                )
        except OSError as error:
            self._unreadable(prefix.rstrip("/") or ".", error)
            return []

    # ---- .ebignore

    def _by_ebignore(self, rules: IgnoreFile, prefix: str = "") -> Iterator[str]:
        """Yield the files that the patterns let in, asked for each alone as the EB CLI does."""
        for entry in self._entries(prefix):
            path = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                # Where no pattern lets anything in, an ignored directory holds ignored files only.
                if rules.lets_in or not rules.ignores_file(f"{path}/x"):
                    yield from self._by_ebignore(rules, f"{path}/")
            elif not rules.ignores_file(path):
                yield path

    # ---- git

    def _by_git(self) -> list[str]:
        config, _ = _eb_config(self.directory)
        wanted = _value(config, "global", "include_git_submodules") != "false"
        found = git_files(self.directory, submodules=wanted)
        self._report_submodules(found.missing_submodules)
        untracked = [
            path
            for path in found.untracked
            if _NEVER.isdisjoint(path.split("/")) and (self.directory / path).is_file()
        ]
        if untracked:
            self.findings.append(
                warning(
                    f"git does not track {some(untracked)}, packed because git does not ignore"
                    f" {'it' if len(untracked) == 1 else 'them'} ({len(untracked)} in all)",
                    "`eb deploy` leaves untracked files out: commit what the application needs,"
                    f" and name the rest in {_GITIGNORE}",
                )
            )
        return [*found.tracked, *found.untracked]

    def _report_submodules(self, missing: list[str]) -> None:
        if missing:
            self.findings.append(
                refusal(
                    f"the submodules {some(missing)} are not checked out, so their files would be"
                    " missing",
                    "run `git submodule update --init --recursive`; or leave them out by"
                    f" global.include_git_submodules: false in {_EB_CONFIG}",
                )
            )

    # ---- .gitignore without git

    def _by_gitignore(self, prefix: str, above: list[tuple[str, IgnoreFile]]) -> Iterator[str]:
        """Yield the files that the `.gitignore` of each directory and those above let in."""
        own = self._ignore_file(prefix + _GITIGNORE)
        rules = above if own is None else [*above, (prefix, own)]
        for entry in self._entries(prefix):
            path = prefix + entry.name
            is_directory = entry.is_dir(follow_symlinks=False)
            if _ignored(path, rules, is_directory=is_directory):
                continue
            if is_directory:
                yield from self._by_gitignore(f"{path}/", rules)
            else:
                yield path


def _opened(path: Path) -> BinaryIO:
    return path.open("rb")


def _opened_text(text: str) -> BinaryIO:
    return io.BytesIO(os.fsencode(text))


def _ignored(path: str, rules: list[tuple[str, IgnoreFile]], *, is_directory: bool) -> bool:
    """Return whether the nearest `.gitignore` that says anything about a path ignores it."""
    for prefix, file in reversed(rules):
        verdict = file.verdict(path.removeprefix(prefix), is_directory=is_directory)
        if verdict is not None:
            return verdict
    return False


# ---- what is wrong with a list, wherever it comes from


def list_findings(contents: Contents) -> Iterator[Finding]:
    """Yield what no instance could unpack or run, and what is lost on other systems."""
    if not contents.files:
        if not any(finding.hint for finding in contents.findings):
            yield refusal(
                "nothing says how to start the application: its source bundle has no files"
                f" ({contents.decided_by} decides which it has)",
                "name the directory that holds the application, or let its files in, and add a"
                " Procfile with a line such as `web: node app.js`",
            )
        return
    yield from _size(contents)
    yield from _undecodable(contents)
    yield from _below_files(contents)
    yield from _links(contents)
    yield from _case(contents)
    yield from _one_folder(contents)


def _size(contents: Contents) -> Iterator[Finding]:
    size = sum(file.size_bytes for file in contents.files.values())
    if size > MAX_UNPACKED_BYTES:
        yield refusal(
            f"the source bundle unpacks to {size} bytes and may have {MAX_UNPACKED_BYTES};"
            f" {largest(contents)}",
            "leave files out with an .ebignore",
        )


def largest(contents: Contents) -> str:
    """Return the three largest parts of a bundle with their sizes, for messages."""
    sizes: dict[str, int] = {}
    for path, file in contents.files.items():
        name, slash, _ = path.partition("/")
        sizes[name + slash] = sizes.get(name + slash, 0) + file.size_bytes
    parts = sorted(sizes.items(), key=lambda part: -part[1])[:3]
    listed = ", ".join(f"{name} ({size / 1024**2:.1f} MiB)" for name, size in parts)
    return f"its largest parts are {listed}"


def _undecodable(contents: Contents) -> Iterator[Finding]:
    """Yield the names that are no text: an archive names files in UTF-8."""
    broken = [p for p in contents.files if any("\udc80" <= letter <= "\udcff" for letter in p)]
    if broken:
        shown = some([ascii(path) for path in broken])
        yield refusal(f"the names {shown} are not UTF-8", "rename the files")


def _below_files(contents: Contents) -> Iterator[Finding]:
    """Yield the files that lie below a file or a link, which no directory can hold."""
    below = [p for p in contents.files if any(parent in contents.files for parent in _parents(p))]
    if below:
        yield refusal(
            f"{some(below)} lie below what is a file or a link", "pack each file once, as it is"
        )


def _links(contents: Contents) -> Iterator[Finding]:
    directories = {parent for path in contents.files for parent in _parents(path)}
    leaving: list[str] = []
    dangling: list[str] = []
    for path, file in contents.files.items():
        if file.link is None:
            continue
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), file.link))
        leaves = target.startswith(("/", "../")) or target == ".."
        is_there = not leaves and (target in contents.files or target in directories | {"."})
        if path.split("/")[0] == PLATFORM_DIRECTORY:
            if not is_there:
                yield _platform_link(path)
        elif leaves:
            leaving.append(f"{path} -> {file.link}")
        elif not is_there:
            dangling.append(f"{path} -> {file.link}")
    if leaving:
        yield refusal(
            f"the links {some(leaving)} leave the source bundle, and lead nowhere on an instance",
            "put the files into the bundle, or leave the links out with an .ebignore; a virtual"
            " environment is made on the instance and is left out as a whole",
        )
    if dangling:
        yield warning(
            f"the links {some(dangling)} lead to nothing that is in the source bundle",
            "let their targets in, or remove the links",
        )


def _platform_link(path: str) -> Finding:
    return refusal(
        f"{path} is a link that leads out of the bundle, or nowhere; root runs and includes what is"
        f" in {PLATFORM_DIRECTORY}",
        "put the file itself there",
        path,
    )


def _parents(path: str) -> Iterator[str]:
    parent = posixpath.dirname(path)
    while parent:
        yield parent
        parent = posixpath.dirname(parent)


def _case(contents: Contents) -> Iterator[Finding]:
    """Yield the names of which a disk of Windows or macOS has one only."""
    alike: dict[str, list[str]] = {}
    for path in contents.files:
        alike.setdefault(path.casefold(), []).append(path)
    pairs = [" and ".join(sorted(paths)) for paths in alike.values() if len(paths) > 1]
    if pairs:
        yield warning(
            f"the names {some(pairs)} differ in case only: an instance gets each of them, but a"
            " checkout on Windows or macOS has one of them, and makes another bundle",
            "rename one of them",
        )


def _one_folder(contents: Contents) -> Iterator[Finding]:
    """Yield that the bundle begins one directory too high."""
    names = contents.names - {"__MACOSX"}
    (folder, *others) = names or {""}
    if others or folder in contents.files or folder.startswith("."):
        return
    inner = {path.split("/")[1] for path in contents.under(folder)}
    if contents.directory is None:
        hint = f"pack the folder's content: cd {folder} && zip -r ../bundle.zip ."
    else:
        hint = f"name the folder itself, as in from_asset({contents.source + '/' + folder!r})"
    yield refusal(
        f"everything is inside one folder, {folder}/, with {some(inner)}; an instance looks for the"
        " application at the top",
        hint,
    )


def jar_contents(jar: Path, source: str) -> Contents:
    """Return a bundle of one JAR file, which Elastic Beanstalk calls `application.jar`."""
    try:
        size = jar.stat().st_size
    except OSError as error:
        return unusable(source, refusal(f"{jar} cannot be read: {error}", "name a JAR file"))
    file = BundleFile(size_bytes=size, open=partial(_opened, jar))
    return Contents(source=source, decided_by="the JAR file", files={_JAR: file})

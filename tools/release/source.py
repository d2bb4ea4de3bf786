"""The source of a release: a copy of the checkout, with what only the place of the project gives.

The repository does not name the place where it is hosted. A release does: its metadata and the
links of its README, which PyPI shows, need whole addresses.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tools.release.errors import ReleaseError

#: Folders of the two distributions in the checkout, in the order in which they are built.
DISTRIBUTIONS: Final = (Path("daemon"), Path())
#: A link or a picture of Markdown: its brackets, and its target.
_LINK: Final = re.compile(r"(?P<brackets>!?\[[^\]]*\])\((?P<target>[^)\s]+)\)")
_HAS_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*:|#", re.IGNORECASE)


def checked_url(text: str) -> str:
    """Return the address of the project without a slash at its end.

    Raises:
        ReleaseError: it is no address that a reader of PyPI can open.
    """
    parts = urlsplit(text)
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment:
        raise ReleaseError(
            f"the project's address must be https://HOST/PATH, got {text!r}; metadata and README"
            " link to it"
        )
    return text.rstrip("/")


def stage(checkout: Path, target: Path, url: str, revision: str) -> list[Path]:
    """Copy what git has of `checkout` to `target`, and write the project's address into it.

    Args:
        revision: the tag or commit that links to files name.

    Returns: the folders to build from.

    Raises:
        ReleaseError: git cannot list the files.
    """
    for name in _files(checkout):
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(checkout / name, copy, follow_symlinks=False)
    folders = []
    for folder in DISTRIBUTIONS:
        place = target / folder
        readme, project = place / "README.md", place / "pyproject.toml"
        text = readme.read_text(encoding="utf-8")
        readme.write_text(with_whole_links(text, folder, url, revision), encoding="utf-8")
        project.write_text(with_urls(project.read_text(encoding="utf-8"), url), encoding="utf-8")
        folders.append(place)
    return folders


def with_whole_links(text: str, folder: Path, url: str, revision: str) -> str:
    """Return Markdown whose relative links are addresses of files at `revision`.

    Args:
        folder: where the document stands, relative to the project.
    """

    def whole(found: re.Match[str]) -> str:
        target = found["target"]
        if _HAS_SCHEME.match(target):
            return found[0]
        path, _, anchor = target.partition("#")
        parts: list[str] = list(folder.parts)
        for part in Path(path).parts:
            if part == "..":
                parts.pop()
            else:
                parts.append(part)
        kind = "raw" if found["brackets"].startswith("!") else "blob"
        address = f"{url}/{kind}/{revision}/{'/'.join(parts)}"
        return f"{found['brackets']}({address}{'#' + anchor if anchor else ''})"

    return _LINK.sub(whole, text)


def with_urls(project: str, url: str) -> str:
    """Return a pyproject.toml with the addresses of the project.

    Raises:
        ReleaseError: it has addresses, which this would contradict.
    """
    if "[project.urls]" in project:
        raise ReleaseError("pyproject.toml has [project.urls]; a release writes them")
    urls = {
        "Homepage": url,
        "Documentation": f"{url}/tree/main/docs",
        "Changelog": f"{url}/blob/main/CHANGELOG.md",
        "Issues": f"{url}/issues",
    }
    lines = "".join(f'{name} = "{address}"\n' for name, address in urls.items())
    return f"{project.rstrip()}\n\n[project.urls]\n{lines}"


def _files(checkout: Path) -> Iterator[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=checkout, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        raise ReleaseError(f"git cannot list the files of {checkout}: {listed.stderr.strip()}")
    return (Path(name) for name in listed.stdout.split("\0") if name)

"""Builds the daemon's bundle: one archive of the daemon, what it imports, and the bootstrap.

The same sources give the same bytes on any machine: entries are sorted, have one date and are
stored, not deflated, because zlib's output differs between its builds and any new byte replaces
every instance.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Final

from worker_tier_bootstrap.errors import PackagingError

#: Distributions that the daemon imports, directly or not; a test compares them with the metadata.
DISTRIBUTIONS: Final = (
    "botocore",
    "cronsim",
    "jmespath",
    "python-dateutil",
    "PyYAML",
    "six",
    "urllib3",
)
#: Services of botocore that the daemon calls, or that credentials may come from.
SERVICES: Final = ("autoscaling", "dynamodb", "sqs", "sso", "sso-oidc", "sts")
_BOTOCORE_DATA = PurePosixPath("botocore/data")
#: Files of a distribution's metadata that are packed: the version, and licences, which must be.
_METADATA_FILES: Final = ("METADATA", "LICENSE", "LICENCE", "NOTICE", "COPYING")
_EARLIEST_ZIP_DATE: Final = (1980, 1, 1, 0, 0, 0)
#: Files of the bootstrap that only `cdk synth` needs, so that instances do not get them.
_NOT_FOR_INSTANCES: Final = frozenset(
    {"bundle.py", "user_data.py", "templates/bootstrap.sh", "templates/early.py.gz.b64"}
)
#: Folders of a package that instances do not get: fakes, and the readers of EB's settings and
#: source bundles.
_UNWANTED: Final = frozenset({"__pycache__", "testing", "beanstalk", "assessment"})
#: File of each packed distribution's version and digest; `make bundle` writes it.
PINS: Final = Path(__file__).with_name("bundle_pins.json")


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A zip archive whose entries stand at the root of an import path."""

    content: bytes
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file of an archive; the content of a link is its target."""

    content: bytes
    executable: bool = False
    link: bool = False

    @property
    def mode(self) -> int:
        """File type and permissions as in stat(2)."""
        if self.link:
            return 0o120777
        return 0o100755 if self.executable else 0o100644


def build_archive() -> Archive:
    """Build the daemon's bundle from the installed packages.

    Raises:
        PackagingError: the daemon or a distribution it needs is not installed, not in full, or not
            as pinned; the text names every problem.
    """
    bootstrap = dict(_package_files("worker_tier_bootstrap"))
    for name in _NOT_FOR_INSTANCES:
        del bootstrap[f"worker_tier_bootstrap/{name}"]
    entries = {**dict(_package_files("sqsd")), **bootstrap}
    pins = json.loads(PINS.read_text(encoding="utf-8"))
    problems = []
    for name in DISTRIBUTIONS:
        files = dict(_distribution_files(name))
        entries.update(files)
        if (found := pin_of(name, files)) != pins.get(name):
            problems.append(f"{name} {found['version']} is not as pinned: {pins.get(name)}")
    if problems:
        raise PackagingError(
            f"what instances would get differs from {PINS.name}: {'; '.join(problems)}. Install"
            " what is pinned: pip install --require-hashes -r requirements.txt; to change the"
            " pins, run make bundle"
        )
    return archive_of(entries)


def pin_of(name: str, files: Mapping[str, bytes]) -> dict[str, str]:
    """Return a distribution's version, and a digest of its packed files."""
    return {"version": _distribution(name).version, "sha256": archive_of(files).sha256}


def write_pins() -> None:
    """Pin the distributions that are installed now."""
    pins = {name: pin_of(name, dict(_distribution_files(name))) for name in DISTRIBUTIONS}
    PINS.write_text(json.dumps(pins, indent=1) + "\n", encoding="utf-8")


def archive_of(entries: Mapping[str, bytes | Entry]) -> Archive:
    """Return a ZIP archive of path -> content; its bytes depend on nothing else."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(entries):
            info = zipfile.ZipInfo(name, _EARLIEST_ZIP_DATE)
            info.create_system = 3  # Unix, wherever this runs
            entry = entries[name]
            if isinstance(entry, bytes):
                entry = Entry(content=entry)
            info.external_attr = entry.mode << 16
            archive.writestr(info, entry.content)
    content = buffer.getvalue()
    return Archive(content=content, sha256=hashlib.sha256(content).hexdigest())


def _package_files(package: str) -> Iterator[tuple[str, bytes]]:
    """Path -> content of an imported package, from a checkout or from an installed wheel."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise PackagingError(f"{package} is not installed; install worker-tier-daemon beside this")
    root = Path(next(iter(spec.submodule_search_locations)))
    for path in root.rglob("*"):
        name = PurePosixPath(package, path.relative_to(root).as_posix())
        wanted = name.suffix in {".py", ".typed"} or name.parent.name == "templates"
        unwanted = _UNWANTED.intersection(name.parts)
        if path.is_file() and wanted and not unwanted:
            yield str(name), path.read_bytes()


def _distribution_files(name: str) -> Iterator[tuple[str, bytes]]:
    found = _distribution(name)
    if found.files is None:
        raise PackagingError(
            f"{name} {found.version} has no list of its files, so it cannot be packed for"
            f" instances; install it by pip: pip install --force-reinstall {name}=={found.version}"
        )
    for path in wanted_files(PurePosixPath(file) for file in found.files):
        yield str(path), Path(str(found.locate_file(path))).read_bytes()


def _distribution(name: str) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError as error:
        raise PackagingError(f"{name} is not installed; run: pip install {name}") from error


def wanted_files(paths: Iterable[PurePosixPath]) -> Iterator[PurePosixPath]:
    """Select the files of a distribution that an instance needs: Python, data, licences."""
    return (path for path in paths if _wanted(path))


def _wanted(path: PurePosixPath) -> bool:
    if ".." in path.parts:  # scripts, which pip puts beside the interpreter
        return False
    if path.parts[0].endswith(".dist-info"):
        return path.name.upper().startswith(_METADATA_FILES)
    if path.is_relative_to(_BOTOCORE_DATA):
        return _wanted_data(path.relative_to(_BOTOCORE_DATA))
    return path.suffix == ".py" or str(path) == "botocore/cacert.pem"


def _wanted_data(path: PurePosixPath) -> bool:
    at_top = len(path.parts) == 1  # endpoints, partitions, retries, defaults
    return at_top or (path.parts[0] in SERVICES and not path.name.startswith("examples-"))


if __name__ == "__main__":
    write_pins()

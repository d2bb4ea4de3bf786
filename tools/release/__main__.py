"""`make dist URL=https://...`: builds the distributions, checks and tries them; publishes nothing.

In `dist/` are a source distribution and a wheel of the daemon and of the constructs, each wheel
with its bill of materials, and `SHA256SUMS`. Signing and publishing is the release workflow's step.

Exit codes: 0 everything was built and found right; 1 something is wrong; 2 wrong arguments.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email.parser import Parser
from pathlib import Path
from typing import Final
from zipfile import ZipFile

from tools.release.errors import ReleaseError
from tools.release.sbom import add_sbom
from tools.release.source import checked_url, stage
from tools.release.trial import build, check, oldest_cdk, try_wheels

ROOT: Final = Path(__file__).resolve().parents[2]
_PINS: Final = Path("daemon/src/worker_tier_bootstrap/bundle_pins.json")
_SUMS: Final = "SHA256SUMS"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; the result is the exit code."""
    chosen = _parser().parse_args(arguments)
    try:
        files = release(checked_url(chosen.url), chosen.revision, chosen.out, try_out=chosen.trial)
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    print("\n".join(["", "ready to be signed and published:", *map(str, files)]))
    return 0


def release(url: str, revision: str, out: Path, *, try_out: bool) -> list[Path]:
    """Build, check and try everything. Returns the files.

    Raises:
        ReleaseError: something is wrong; `out` is empty then.
    """
    shutil.rmtree(out, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="worker-tier-release-") as name:
        place = Path(name)
        source, built = place / "source", place / "built"
        with _step("copy the files that git has"):
            folders = stage(ROOT, source, url, revision)
            epoch = _commit_time()
        for folder in folders:
            with _step(f"build {'the daemon' if folder.name == 'daemon' else 'the constructs'}"):
                build(folder, built, epoch)
        wheels = sorted(built.glob("*.whl"))
        with _step("add the bills of materials"):
            for wheel in wheels:
                add_sbom(wheel, source / _PINS)
        files = sorted(built.iterdir())
        with _step("twine and check-wheel-contents"):
            # The wheel of the constructs comes first, by its name.
            check(files, [folder / "pyproject.toml" for folder in reversed(folders)], place)
        if try_out:
            _try_all(wheels, place)
        (built / _SUMS).write_text("".join(_sums(files)), encoding="utf-8")
        shutil.copytree(built, out)
    return sorted(out.iterdir())


def _try_all(wheels: Sequence[Path], place: Path) -> None:
    requirements = [line for wheel in wheels for line in _requirements(wheel)]
    oldest = f"aws-cdk-lib=={oldest_cdk(requirements)}"
    for number, cdk in enumerate((oldest, "aws-cdk-lib")):
        with _step(f"install and synthesize with {cdk}{'' if '=' in cdk else ', the newest'}"):
            version = try_wheels(wheels, place / f"trial-{number}", cdk)
            if not all(f"-{version}-" in wheel.name for wheel in wheels):
                raise ReleaseError(f"the installed package says that it is {version}: {wheels}")


def _requirements(wheel: Path) -> list[str]:
    with ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        fields = Parser().parsestr(archive.read(name).decode())
    return fields.get_all("Requires-Dist") or []


def _sums(files: Sequence[Path]) -> Iterator[str]:
    for file in files:
        yield f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"


def _commit_time() -> int:
    command = ["git", "log", "-1", "--format=%ct"]
    return int(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)


@contextmanager
def _step(what: str) -> Iterator[None]:
    """Print a step, and how long it took."""
    print(f"{what} ...", end=" ", flush=True)
    started = time.monotonic()
    yield
    print(f"{time.monotonic() - started:.1f} s")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.release", description=__doc__)
    parser.add_argument(
        "--url", required=True, help="the project's address, https://HOST/PATH, for the metadata"
    )
    parser.add_argument(
        "--revision", default="main", help="tag or commit that links name (default: main)"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "dist" / "release", metavar="DIRECTORY")
    parser.add_argument(
        "--no-trial",
        dest="trial",
        action="store_false",
        help="do not install the wheels with the oldest and the newest CDK",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())

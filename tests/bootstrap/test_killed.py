"""A boot that is killed at any of its steps' actions is finished by the next run."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.bootstrap.conftest import Bundles
from tests.fakes.machine import FakeMachine
from worker_tier_bootstrap import __main__ as command
from worker_tier_bootstrap.paths import RECORDS

T = TypeVar("T")


class Killed(BaseException):
    """Passes through every handler, like a SIGKILL."""


class Mortal(FakeMachine):
    """Dies before or after its n-th action."""

    def __init__(self, root: Path) -> None:
        self.left: float = float("inf")
        self.before = False
        super().__init__(root)
        self.path("/opt/worker-tier/bundles/aaaaaaaaaaaaaaaa").mkdir(parents=True)

    def run(self, command: Sequence[str], *, hint: str, **given: Any) -> str:
        return self._act(lambda: super(Mortal, self).run(command, hint=hint, **given))

    def write(self, path: str, text: str, mode: int = 0o644) -> bool:
        return self._act(lambda: super(Mortal, self).write(path, text, mode))

    def link(self, path: str, target: str) -> bool:
        return self._act(lambda: super(Mortal, self).link(path, target))

    def remove(self, path: str) -> None:
        return self._act(lambda: super(Mortal, self).remove(path))

    def _act(self, do: Callable[[], T]) -> T:
        self.left -= 1
        if self.before and self.left == 0:
            raise Killed
        done = do()
        if self.left == 0:
            raise Killed
        return done

    def state(self) -> Iterator[str]:
        """Yield everything that a boot leaves behind."""
        for path in self.path("/").rglob("*"):
            name = str(path.relative_to(self.path("/")))
            if path.is_symlink():
                yield f"{name} -> {path.readlink()}"
            elif path.is_file():
                yield f"{name} {path.stat().st_mode:o} {path.read_bytes()!r}"
        for names in (self.running, self.installed, self.users):
            yield str(sorted(names))


@pytest.mark.parametrize("before", [True, False])
def test_a_boot_killed_at_any_action_ends_as_one_that_was_not(
    tmp_path: Path, machine: FakeMachine, bundles: Bundles, before: bool
) -> None:
    hook = {".platform/hooks/predeploy/1.sh": b"", "Buildfile": b"make: ./make\n"}
    application = bundles({"app.js": b"", "Procfile": b"web: x\nother: y\n", **hook})

    def boot(machine: Mortal) -> int:
        machine.configure(application)
        return command.main(["run"], machine)

    undisturbed = Mortal(tmp_path / "undisturbed")
    assert boot(undisturbed) == 0
    for number in itertools.count(1):
        machine = Mortal(tmp_path / f"{number}")
        machine.before = before
        machine.left = number
        try:
            boot(machine)
        except Killed:
            machine.left = float("inf")
            assert boot(machine) == 0, machine.read("/run/worker-tier/outcome")
            lost = set(undisturbed.state()) ^ set(machine.state())
            assert lost == set(), f"killed at action {number}"
        else:
            break
    assert number > 40


def test_a_build_is_flushed_to_the_disk_before_it_is_recorded(
    machine: FakeMachine, bundles: Bundles, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(
        machine, "sync", lambda: seen.append((machine.commands[-1], machine.names(RECORDS)))
    )
    files = {"app.js": b"", "Procfile": b"web: x\n", "Buildfile": b"make: ./make\n"}
    machine.configure(bundles(files))
    assert command.main(["run"], machine) == 0
    ((last, records),) = seen
    assert "worker-tier-build.service" in last
    assert records == []
    assert len(machine.names(RECORDS)) == 1

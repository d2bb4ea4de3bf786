"""A fake machine, and fakes of what an instance requests over the network."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.machine import FakeMachine
from worker_tier_bootstrap import early, readiness
from worker_tier_bootstrap.bundle import Entry, archive_of
from worker_tier_bootstrap.contract import BUNDLE, Application, S3Object

#: Makes the description of an application from the files of its bundle and other arguments.
Bundles = Callable[..., Application]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    """An instance whose user data has run, in a stack whose group has a name."""
    xml = "<PhysicalResourceId>the-group</PhysicalResourceId>"
    monkeypatch.setattr(early, "cloudformation", lambda *_, **__: xml)
    monkeypatch.setattr(readiness, "_probe", lambda boot, seconds: "")
    machine = FakeMachine(tmp_path / "root")
    machine.write("/var/lib/cloud/data/instance-id", "i-1\n")
    machine.path("/opt/worker-tier/bundles/aaaaaaaaaaaaaaaa").mkdir(parents=True)
    return machine


@pytest.fixture
def bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundles:
    """Makes source bundles that the instance can fetch."""
    store = tmp_path / "store"
    store.mkdir()

    def fetch(region: str, bucket: str, key: str, sha256: str, target: str) -> None:
        assert hashlib.sha256((store / key).read_bytes()).hexdigest() == sha256
        shutil.copy(store / key, target)

    monkeypatch.setattr(early, "fetch", fetch)

    def make(files: Mapping[str, bytes | Entry] | bytes, **more: Any) -> Application:
        content = files if isinstance(files, bytes) else archive_of(files).content
        sha256 = hashlib.sha256(content).hexdigest()
        (store / sha256).write_bytes(content)
        where = S3Object(bucket="applications", key=sha256, sha256=sha256)
        return Application(kind=BUNDLE, bundle=where, **more)

    return make

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement

import sqsd
from worker_tier import PackagingError
from worker_tier.application.daemon_asset import daemon_archive
from worker_tier_bootstrap import bundle
from worker_tier_bootstrap.bundle import archive_of, wanted_files


@pytest.fixture(scope="module")
def entries() -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(daemon_archive().content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("daemon")
    with zipfile.ZipFile(io.BytesIO(daemon_archive().content)) as archive:
        archive.extractall(directory)
    return directory


def isolated(directory: Path, program: str) -> str:
    """Run a program by an interpreter that sees the standard library and `directory` alone."""
    start = f"import sys; sys.path.append({str(directory)!r})\n"
    completed = subprocess.run(
        [sys.executable, "-I", "-S", "-c", start + program],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret"},
        cwd=directory,
    )
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


def test_the_same_sources_give_the_same_bytes() -> None:
    first, second = daemon_archive.__wrapped__(), daemon_archive.__wrapped__()
    assert first.content == second.content
    assert re.fullmatch("[0-9a-f]{64}", first.sha256)


def test_bytes_do_not_depend_on_the_order_of_entries() -> None:
    one = archive_of({"a.py": b"1", "b/c.py": b"2"})
    other = archive_of({"b/c.py": b"2", "a.py": b"1"})
    assert one == other
    assert archive_of({"a.py": b"1", "b/c.py": b"3"}).sha256 != one.sha256


def test_entries_carry_no_time_no_owner_and_no_compression() -> None:
    with zipfile.ZipFile(io.BytesIO(daemon_archive().content)) as archive:
        for info in archive.infolist():
            assert info.date_time == (1980, 1, 1, 0, 0, 0)
            assert info.compress_type == zipfile.ZIP_STORED
            assert info.external_attr >> 16 == 0o100644


def test_nothing_is_packed_that_another_machine_could_not_use(entries: dict[str, bytes]) -> None:
    for name in entries:
        path = PurePosixPath(name)
        assert "__pycache__" not in path.parts
        assert path.suffix not in {".pyc", ".so", ".pyd", ".dylib"}
        assert not path.is_absolute()
        assert ".." not in path.parts


def test_the_daemon_is_packed_whole_but_for_its_fakes(entries: dict[str, bytes]) -> None:
    (location,) = sqsd.__path__
    root = Path(location)
    sources = {
        f"sqsd/{path.relative_to(root).as_posix()}"
        for path in root.rglob("*.py")
        if path.parent.name != "testing"
    }
    assert sources
    assert sources == {name for name in entries if name.startswith("sqsd/") and name[-3:] == ".py"}


def test_the_readers_of_elastic_beanstalks_settings_replace_no_instance(
    entries: dict[str, bytes],
) -> None:
    assert "worker_tier_bootstrap/contract.py" in entries
    assert not [name for name in entries if "worker_tier_bootstrap/beanstalk" in name]


def test_every_licence_travels_with_its_code(entries: dict[str, bytes]) -> None:
    licensed = {
        re.sub(r"[-_.]+", "-", name.split("-")[0]).lower()
        for name in entries
        if ".dist-info/" in name and "LICEN" in name.upper()
    }
    assert licensed == {re.sub(r"[-_.]+", "-", name).lower() for name in bundle.DISTRIBUTIONS}


def test_packed_distributions_are_those_that_the_daemon_requires_directly_or_not() -> None:
    assert set(_closure("worker-tier-daemon")) - {"worker-tier-daemon"} == {
        _normal(name) for name in bundle.DISTRIBUTIONS
    }


def _closure(name: str) -> Iterator[str]:
    yield _normal(name)
    for line in requires(name) or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield from _closure(requirement.name)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_of_botocores_services_only_the_needed_ones_are_packed(entries: dict[str, bytes]) -> None:
    services = {
        PurePosixPath(name).parts[2]
        for name in entries
        if name.startswith("botocore/data/") and name.count("/") > 2
    }
    assert services == set(bundle.SERVICES)


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("yaml/__init__.py", True),
        ("yaml/_yaml.cpython-311-x86_64-linux-gnu.so", False),
        ("yaml/__pycache__/nodes.cpython-311.pyc", False),
        ("../../bin/jp.py", False),
        ("botocore/cacert.pem", True),
        ("botocore/data/endpoints.json", True),
        ("botocore/data/sqs/2012-11-05/service-2.json.gz", True),
        ("botocore/data/sqs/2012-11-05/examples-1.json", False),
        ("botocore/data/ec2/2016-11-15/service-2.json.gz", False),
        ("six-1.17.0.dist-info/LICENSE", True),
        ("six-1.17.0.dist-info/RECORD", False),
        ("cronsim-2.8.dist-info/licenses/LICENSE", True),
    ],
)
def test_which_files_of_a_distribution_are_packed(path: str, wanted: bool) -> None:
    assert list(wanted_files([PurePosixPath(path)])) == ([PurePosixPath(path)] if wanted else [])


def test_the_archive_alone_is_enough_to_import_every_module_of_the_daemon(unpacked: Path) -> None:
    program = """
import importlib, json, pkgutil, sqsd
names = [m.name for m in pkgutil.walk_packages(sqsd.__path__, "sqsd.") if m.name != "sqsd.__main__"]
for name in [*names, "sqsd.__main__", "botocore.session", "yaml", "cronsim"]:
    importlib.import_module(name)
foreign = {name: m.__file__ for name, m in sys.modules.items() if getattr(m, "__file__", None)}
print(json.dumps(foreign))
"""
    files = json.loads(isolated(unpacked, program))
    assert "sqsd.contract" in files
    for name in ("botocore", "yaml", "cronsim", "dateutil", "jmespath", "six", "urllib3"):
        assert Path(files[name]).is_relative_to(unpacked), name
    assert not any("site-packages" in file for file in files.values())


def test_the_archive_alone_finds_credentials_and_endpoints(unpacked: Path) -> None:
    program = """
import botocore.session
session = botocore.session.Session()
print(session.get_credentials().get_frozen_credentials().access_key)
for service, region in (("sqs", "us-east-1"), ("sqs", "cn-north-1"), ("dynamodb", "us-gov-west-1")):
    print(session.create_client(service, region_name=region).meta.endpoint_url)
for service in ("sts", "sso", "sso-oidc"):
    session.get_service_model(service)
"""
    assert isolated(unpacked, program).split() == [
        "AKID",
        "https://sqs.us-east-1.amazonaws.com",
        "https://sqs.cn-north-1.amazonaws.com.cn",
        "https://dynamodb.us-gov-west-1.amazonaws.com",
    ]


def test_the_archive_runs_as_the_unit_runs_it(unpacked: Path, tmp_path: Path) -> None:
    # given the interpreter behind a link, as the bootstrap leaves it
    python = tmp_path / "python"
    python.symlink_to(Path(sys.executable).resolve())
    completed = subprocess.run(
        [python, "-P", "-s", "-m", "sqsd", "version"],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": str(unpacked)},
        cwd=tmp_path,
    )
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.startswith(f"sqsd {sqsd.__version__}")


def test_packed_distributions_are_pinned_here_in_the_locks_and_for_building_a_wheel() -> None:
    pins = json.loads(bundle.PINS.read_text())
    assert set(pins) == set(bundle.DISTRIBUTIONS)
    versions = {_normal(name): pin["version"] for name, pin in pins.items()}
    root = Path(__file__).resolve().parents[2]
    for name in ("requirements.txt", "requirements/dev.txt", "requirements/demo.txt"):
        locked = dict(re.findall(r"^([\w.-]+)==(\S+)", (root / name).read_text(), re.MULTILINE))
        assert versions.items() <= locked.items(), name
    requires = tomllib.loads((root / "pyproject.toml").read_text())["build-system"]["requires"]
    built_with = dict(line.split("==") for line in requires if "==" in line)
    assert versions == {_normal(name): version for name, version in built_with.items()}


def test_a_distribution_that_differs_from_its_pin_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pins = json.loads(bundle.PINS.read_text())
    pins["six"]["version"] = "1.0"
    pins["cronsim"]["sha256"] = "0" * 64
    monkeypatch.setattr(bundle, "PINS", tmp_path / "pins.json")
    bundle.PINS.write_text(json.dumps(pins))
    with pytest.raises(
        PackagingError, match=r"cronsim .* is not as pinned.*six .*'1\.0'"
    ) as caught:
        bundle.build_archive()
    assert "pip install --require-hashes" in str(caught.value)


def test_a_missing_distribution_is_named_with_its_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "DISTRIBUTIONS", ("no-such-distribution",))
    with pytest.raises(PackagingError, match="pip install no-such-distribution"):
        daemon_archive.__wrapped__()

"""The tables of systems and platforms, compared with images to boot and with documents."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from tests.boot import images
from tests.boot.test_boot import SCENARIOS
from tests.bootstrap.conftest import Bundles
from tests.fakes.machine import FakeMachine
from worker_tier_bootstrap import __main__ as command
from worker_tier_bootstrap.platforms import PLATFORMS, Platform, build_of, packages_of
from worker_tier_bootstrap.systems import APT, DNF, SYSTEMS, system_of

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "guide" / "instance.md").read_text(
    encoding="utf-8"
)
TABLES = [line for line in TEXT.splitlines() if line.startswith("| ")]


# ---- systems


def system_rows() -> list[str]:
    """The table of docs/guide/instance.md; on a failure, copy it from the message."""
    return [f"| {system.name} | `{key}` | {system.proven} |" for key, system in SYSTEMS.items()]


def test_every_system_is_documented_with_its_key_and_how_it_is_proven() -> None:
    missing = [row for row in system_rows() if row not in TABLES]
    assert not missing, "\n".join(missing)
    documented = re.findall(r"^\| [^|]+ \| `([a-z]+-[0-9.]+)` \|", TEXT, re.MULTILINE)
    assert documented == list(SYSTEMS)


@pytest.mark.parametrize("key", SYSTEMS)
def test_every_system_has_an_image_and_is_booted(key: str) -> None:
    assert images.image_of(key).name in SYSTEMS
    suites = [scenario.suite for scenario in SCENARIOS if scenario.system == key]
    assert "common" in suites


@pytest.mark.parametrize("key", SYSTEMS)
def test_a_system_is_found_by_its_os_release(key: str) -> None:
    id, _, version = key.partition("-")
    assert system_of(f'NAME="x"\nID={id}\nVERSION_ID="{version}"\n') is SYSTEMS[key]


def test_a_system_may_name_a_package_otherwise_than_its_family() -> None:
    system = dataclasses.replace(
        SYSTEMS["debian-12"],
        package_names={"nodejs": ("node-22", "node-extras"), "gunicorn": ()},
    )
    assert packages_of("node", system, ["npm start"]) == ("node-22", "node-extras", "npm")
    assert packages_of("python", system, []) == ("python3",)
    # a system without a package of gunicorn installs it in the build
    assert build_of("python", system, {"application.py"}, lambda _: None) is not None
    assert build_of("python", SYSTEMS["debian-12"], {"application.py"}, lambda _: None) is None


# ---- platforms


def _packages(platform: str) -> str:
    """Packages by family, those of the build apart; families with the same ones once."""
    row = PLATFORMS[platform]

    def shown(names: dict[str, tuple[str, ...]]) -> str:
        return " / ".join(dict.fromkeys(f"`{' '.join(names[family])}`" for family in (APT, DNF)))

    needed = shown(dict(row.packages)) if any(row.packages.values()) else "none"
    return f"{needed}, to build {shown(dict(row.build_packages))}" if row.build_packages else needed


def platform_row(platform: str) -> list[str]:
    """Cells of the table of docs/guide/instance.md that the table of platforms determines."""
    row = PLATFORMS[platform]
    by = ", ".join(f"`{name}`" for name in row.detected_by) or "`from_container`"
    return [f"`{platform}`", by, str(row.port), _packages(platform), row.proven]


@pytest.mark.parametrize("platform", Platform)
def test_every_platform_is_documented(platform: str) -> None:
    (line,) = [line for line in TABLES if line.startswith(f"| `{platform}` |")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    expected = platform_row(platform)
    assert [*cells[:4], cells[-1]] == expected, " | ".join(expected)


@pytest.mark.parametrize(("system", "disables"), [("debian-12", True), ("amzn-2023", False)])
def test_services_of_a_platforms_packages_do_not_start_beside_ours(
    machine: FakeMachine, bundles: Bundles, system: str, disables: bool
) -> None:
    # given a package that brings a service, on a system that enables it at installation or not
    id, _, version = system.partition("-")
    machine.write("/etc/os-release", f'ID={id}\nVERSION_ID="{version}"\n')
    machine.unit_files["php*-fpm.service"] = "php8.2-fpm.service enabled enabled\n"
    machine.configure(bundles({"index.php": b""}))
    assert command.main(["run"], machine) == 0, machine.read("/run/worker-tier/outcome")
    disabled = [line for line in machine.commands if line.startswith("systemctl disable")]
    assert disabled == (["systemctl disable -q php8.2-fpm.service"] if disables else [])


def test_every_name_of_a_platform_has_a_row_in_the_same_order() -> None:
    assert list(PLATFORMS) == list(Platform)

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import worker_tier

ROOT = Path(worker_tier.__file__).parent
#: All that the constructs may know of the daemon.
ALLOWED = {"sqsd.contract", "sqsd.cron.cron_yaml"}


def imported(source: Path) -> Iterator[str]:
    """Every module a file imports, wherever in the file it does."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source.name}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(
    "source", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_the_constructs_know_the_daemons_contract_and_cron_parser_only(source: Path) -> None:
    for name in imported(source):
        if name.split(".")[0] == "sqsd":
            assert any(f"{name}.".startswith(f"{allowed}.") for allowed in ALLOWED), name


def test_nothing_reads_the_environment_but_the_app() -> None:
    for source in ROOT.rglob("*.py"):
        text = source.read_text(encoding="utf-8")
        assert "environ" not in {part for name in imported(source) for part in name.split(".")}
        assert "os.environ" not in text
        assert "getenv" not in text
        assert "try_get_context" not in text

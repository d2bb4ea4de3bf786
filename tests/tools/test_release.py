"""What a release writes into the source before it is built, and what it refuses."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest

import sqsd
import worker_tier
from tools.release.errors import ReleaseError
from tools.release.source import checked_url, stage, with_urls, with_whole_links

ROOT = Path(__file__).resolve().parents[2]
URL = "https://example.com/acme/worker-tier"


@pytest.mark.parametrize(
    ("folder", "text", "whole"),
    [
        ("", "[a](docs/a.md)", f"[a]({URL}/blob/v1/docs/a.md)"),
        ("", "[a](docs/a.md#part)", f"[a]({URL}/blob/v1/docs/a.md#part)"),
        ("", "![a](docs/a.svg)", f"![a]({URL}/raw/v1/docs/a.svg)"),
        ("daemon", "[a](../docs/a.md)", f"[a]({URL}/blob/v1/docs/a.md)"),
        ("daemon", "[a](src/a.py)", f"[a]({URL}/blob/v1/daemon/src/a.py)"),
        ("", "[a](https://example.org/a)", "[a](https://example.org/a)"),
        ("", "[a](mailto:a@example.org) [b](#part)", "[a](mailto:a@example.org) [b](#part)"),
    ],
)
def test_relative_links_become_addresses_of_files(folder: str, text: str, whole: str) -> None:
    assert with_whole_links(text, Path(folder), URL, "v1") == whole


def test_the_metadata_names_the_project() -> None:
    text = with_urls((ROOT / "pyproject.toml").read_text(encoding="utf-8"), URL)
    urls = tomllib.loads(text)["project"]["urls"]
    assert urls["Homepage"] == URL
    assert all(url.startswith(URL) for url in urls.values())
    with pytest.raises(ReleaseError, match=r"project\.urls"):
        with_urls(text, URL)


@pytest.mark.parametrize("url", ["", "example.com", "http://example.com/a", f"{URL}?a", f"{URL}#a"])
def test_an_address_that_no_reader_can_open_is_refused(url: str) -> None:
    with pytest.raises(ReleaseError, match="https://HOST/PATH"):
        checked_url(url)


def test_the_source_is_what_git_has(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    for folder in (checkout, checkout / "daemon"):
        folder.mkdir()
        (folder / "README.md").write_text("[a](a.md)")
        (folder / "pyproject.toml").write_text("[project]\n")
    (checkout / "secret.env").write_text("TOKEN=1")
    subprocess.run(["git", "init", "--quiet"], cwd=checkout, check=True)
    tracked = ["README.md", "pyproject.toml", "daemon"]
    subprocess.run(["git", "add", *tracked], cwd=checkout, check=True)
    folders = stage(checkout, tmp_path / "staged", URL, "main")
    assert folders == [tmp_path / "staged" / "daemon", tmp_path / "staged"]
    assert not (tmp_path / "staged" / "secret.env").exists()
    assert (folders[0] / "README.md").read_text() == f"[a]({URL}/blob/main/daemon/a.md)"


def test_both_packages_have_one_version() -> None:
    assert worker_tier.__version__ == sqsd.__version__
    for project in (ROOT, ROOT / "daemon"):
        document = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
        assert "version" in document["project"]["dynamic"]

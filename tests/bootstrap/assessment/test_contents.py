"""Which files a source bundle has is decided once, by the first of five that there is."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.bootstrap.assessment.bundles import (
    NODE,
    commit,
    git,
    names,
    refused,
    warned,
    write,
    zipped,
)
from worker_tier_bootstrap.assessment import assess, contents
from worker_tier_bootstrap.assessment.git_files import git_files

APP = {"Procfile": "web: node app.js", "app.js": ""}
CONFIG = ".elasticbeanstalk/config.yml"


def test_without_an_ignore_file_all_files_are_packed_but_those_that_no_bundle_has(
    tmp_path: Path,
) -> None:
    never = [".git/config", ".elasticbeanstalk/x.cfg.yml", "lib/__pycache__/a.pyc", ".DS_Store"]
    write(tmp_path, APP | dict.fromkeys([*never, "cdk.out/tree.json"], ""))
    packed = ["lib/a.py", ".env", ".platform/hooks/prebuild/1.sh"]
    write(tmp_path, dict.fromkeys(packed, ""))
    assert names(tmp_path) == {*APP, *packed}


def test_an_ebignore_that_ignores_all_lets_in_directories_that_it_names(tmp_path: Path) -> None:
    ignore = "*\n!dist/**\n!package.json\n!Procfile\n!.platform/**\nnode_modules\n"
    write(tmp_path, {".ebignore": ignore, **APP, "package.json": "{}", "dist/main.js": ""})
    write(tmp_path, {"src/main.ts": "", ".platform/hooks/predeploy/01.sh": "#!/bin/sh\n"})
    write(tmp_path, {"dist/node_modules/x/index.js": ""})
    assert names(tmp_path) == {
        *("Procfile", "package.json", "dist/main.js", ".platform/hooks/predeploy/01.sh"),
    }


def test_a_file_that_an_ebignore_lets_in_is_found_at_any_depth(tmp_path: Path) -> None:
    ignore = "*\n!Procfile\n!build/deep/down/app.js\n"
    write(tmp_path, {".ebignore": ignore, "Procfile": "web: x", "build/x": "", "app.js": ""})
    write(tmp_path, {"build/deep/down/app.js": "", "build/deep/x": ""})
    assert names(tmp_path) == {"Procfile", "build/deep/down/app.js"}


def test_an_ebignore_goes_before_git_and_its_ignore_files(tmp_path: Path) -> None:
    write(tmp_path, APP | {".gitignore": "dist/\n", "dist/main.js": "", "notes.txt": ""})
    commit(tmp_path)
    write(tmp_path, {".ebignore": "notes.txt\n"})
    assert names(tmp_path) == {*APP, ".gitignore", "dist/main.js"}


def test_what_git_ignores_stays_out_wherever_it_says_so(tmp_path: Path) -> None:
    write(
        tmp_path,
        APP
        | {".gitignore": "node_modules/\n.env\n.venv/\n", "lib/.gitignore": "*.log\n!keep.log\n"},
    )
    write(tmp_path, {"node_modules/sharp/x.node": "", ".env": "SECRET=1", ".venv/bin/python": ""})
    write(tmp_path, {"lib/a.log": "", "lib/keep.log": "", "local.txt": ""})
    commit(tmp_path)
    (tmp_path / ".git/info/exclude").write_text("local2.txt\n")
    write(tmp_path, {"local2.txt": ""})
    expected = {*APP, ".gitignore", "lib/.gitignore", "lib/keep.log", "local.txt"}
    assert names(tmp_path) == expected
    assert assess(tmp_path).contents.decided_by == "git"
    assert not warned(assess(tmp_path))


def test_files_that_git_does_not_track_are_packed_with_a_warning(tmp_path: Path) -> None:
    commit(write(tmp_path, APP | {".gitignore": "*.log"}))
    write(tmp_path, {"new.js": "", "a.log": "", "lib/also.js": ""})
    (tmp_path / "app.js").write_text("changed")
    found = assess(tmp_path)
    assert {"new.js", "lib/also.js"} <= set(found.contents.files)
    (warning,) = warned(found)
    assert "git does not track lib/also.js, new.js" in warning
    assert "(2 in all)" in warning
    assert "`eb deploy` leaves untracked files out" in warning


def test_a_file_that_was_deleted_and_is_still_committed_is_not_packed(tmp_path: Path) -> None:
    commit(write(tmp_path, APP | {"old.js": ""}))
    (tmp_path / "old.js").unlink()
    assert names(tmp_path) == {*APP}


def test_a_directory_inside_of_a_repository_has_its_own_files_only(tmp_path: Path) -> None:
    write(tmp_path, {".gitignore": "*.log\n", "README.md": "", "app/a.log": ""})
    write(tmp_path / "app", APP)
    commit(tmp_path)
    assert names(tmp_path / "app") == {*APP}


def test_the_output_of_a_build_that_git_ignores_is_packed_as_a_whole(tmp_path: Path) -> None:
    commit(write(tmp_path, {".gitignore": "dist/\n", "src/app.ts": ""}))
    write(tmp_path / "dist", APP | {"node_modules/a/index.js": ""})
    assert names(tmp_path / "dist") == {*APP, "node_modules/a/index.js"}


def test_what_git_archive_leaves_out_stays_out(tmp_path: Path) -> None:
    attributes = "/.github export-ignore\nCHANGELOG.md export-ignore\n"
    write(tmp_path, APP | {".gitattributes": attributes, ".github/workflows/ci.yml": ""})
    commit(write(tmp_path, {"CHANGELOG.md": "", "docs/CHANGELOG.md": ""}))
    assert names(tmp_path) == {*APP, ".gitattributes"}


def test_the_files_of_submodules_are_packed_unless_the_eb_cli_leaves_them_out(
    tmp_path: Path,
) -> None:
    library = commit(write(tmp_path / "library", {"lib.js": "", ".gitignore": "x\n"}))
    app = commit(write(tmp_path / "app", APP))
    git(app, "submodule", "add", "-q", str(library), "vendor/library")
    git(app, "commit", "-q", "-m", "submodule")
    write(app, {"vendor/library/x": ""})
    with_submodule = {*APP, ".gitmodules", "vendor/library/lib.js", "vendor/library/.gitignore"}
    assert names(app) == with_submodule
    write(app, {CONFIG: "global:\n  include_git_submodules: false\n"})
    assert names(app) == {*APP, ".gitmodules"}


def test_a_submodule_that_is_not_checked_out_is_refused(tmp_path: Path) -> None:
    library = commit(write(tmp_path / "library", {"lib.js": ""}))
    app = commit(write(tmp_path / "app", APP))
    git(app, "submodule", "add", "-q", str(library), "vendor/library")
    git(app, "commit", "-q", "-m", "submodule")
    git(tmp_path, "clone", "-q", str(app), str(tmp_path / "clone"))
    (problem,) = refused(assess(tmp_path / "clone"))
    assert "the submodules vendor/library are not checked out" in problem
    assert "git submodule update --init --recursive" in problem


def test_where_git_is_missing_its_ignore_files_are_read_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, APP | {".gitignore": "*.log\n/tmp/\n", "lib/.gitignore": "!keep.log\nown\n"})
    write(tmp_path, {"a.log": "", "lib/keep.log": "", "lib/own": "", "tmp/x": "", "lib/tmp/x": ""})
    commit(tmp_path)
    monkeypatch.setenv("PATH", "")
    found = assess(tmp_path)
    assert set(found.contents.files) == {
        *(*APP, ".gitignore", "lib/.gitignore", "lib/keep.log", "lib/tmp/x"),
    }
    (warning,) = warned(found)
    assert "git cannot list the files (git is not installed)" in warning


def test_a_repository_that_git_refuses_to_read_is_read_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(write(tmp_path, APP | {".gitignore": "*.log\n"}))
    write(tmp_path, {"a.log": ""})
    (tmp_path / ".git/config").write_text("[broken")
    found = assess(tmp_path)
    assert set(found.contents.files) == {*APP, ".gitignore"}
    assert "git cannot list the files (fatal: bad config" in warned(found)[0]


def test_a_gitignore_without_a_repository_is_read(tmp_path: Path) -> None:
    write(tmp_path, APP | {".gitignore": "node_modules/\n", "node_modules/a.js": ""})
    found = assess(tmp_path)
    assert set(found.contents.files) == {*APP, ".gitignore"}
    assert found.contents.decided_by == ".gitignore"


def test_a_hook_of_git_that_synthesizes_gets_the_files_of_the_application(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = commit(write(tmp_path / "app", APP))
    other = commit(write(tmp_path / "other", {"other.txt": ""}))
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert sorted(git_files(app, submodules=True).tracked) == ["Procfile", "app.js"]


def test_a_repository_runs_no_program_of_its_own(tmp_path: Path) -> None:
    commit(write(tmp_path, APP | {"monitor*": "#!/bin/sh\ntouch ran\n"}))
    git(tmp_path, "config", "core.fsmonitor", str(tmp_path / "monitor"))
    assess(tmp_path)
    assert not (tmp_path / "ran").exists()


# ---- deploy.artifact


def test_the_archive_that_the_eb_cli_deploys_is_the_bundle(tmp_path: Path) -> None:
    write(tmp_path, {CONFIG: "deploy:\n  artifact: build/app.zip\n", "src/App.java": "", **APP})
    (tmp_path / "build").mkdir()
    zipped(tmp_path / "build/app.zip", {"Procfile": "web: ./run", "run": ""})
    assert names(tmp_path) == {"Procfile", "run"}


def test_an_artifact_may_stand_outside_of_the_directory(tmp_path: Path) -> None:
    zipped(tmp_path / "app.zip", {"Procfile": "web: ./run", "run": ""})
    for number, named in enumerate([tmp_path / "app.zip", "../app.zip"]):
        app = write(tmp_path / str(number), {CONFIG: f"deploy:\n  artifact: {named}\n"})
        assert names(app) == {"Procfile", "run"}


def test_an_artifact_that_was_not_built_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {CONFIG: "deploy:\n  artifact: build/app.zip\n", **APP})
    (problem,) = refused(assess(tmp_path))
    assert "deploy.artifact names build/app.zip, which is no file" in problem
    assert "build it before the stack is synthesized" in problem


def test_an_artifact_that_is_a_jar_runs_as_on_elastic_beanstalk(tmp_path: Path) -> None:
    write(tmp_path, {CONFIG: "deploy: {artifact: build/app-1.0.jar}", "build/app-1.0.jar": "PK"})
    found = assess(tmp_path)
    assert set(found.contents.files) == {"application.jar"}
    assert (found.platform, found.starts[0].command) == ("java", "exec java -jar ./*.jar")


def test_a_broken_configuration_of_the_eb_cli_is_refused_with_its_place(tmp_path: Path) -> None:
    write(tmp_path, {CONFIG: "deploy:\n\tartifact: x.zip\n", **APP})
    (problem,) = refused(assess(tmp_path))
    assert "indent with blanks, not tabs" in problem
    assert f"({CONFIG}, line 2, column 1)" in problem


def test_a_configuration_of_the_eb_cli_without_an_artifact_decides_nothing(tmp_path: Path) -> None:
    write(tmp_path, {CONFIG: "branch-defaults:\n  main:\n    environment: prod\n", **APP})
    assert names(tmp_path) == {*APP}


# ---- what cannot be packed


def test_links_stay_links_and_those_that_leave_the_bundle_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "app", APP | {"lib/a.js": ""})
    for name, target in {
        "in": "lib/a.js", "lib/up": "../app.js", "folder": "lib", "out": "../secret",
        ".venv": "/usr/lib/python3", "lib/deep": "../../x", "gone": "lib/none",
    }.items():  # fmt: skip
        (tmp_path / "app" / name).symlink_to(target)
    found = assess(tmp_path / "app")
    (problem,) = refused(found)
    assert "the links .venv -> /usr/lib/python3, lib/deep -> ../../x, out -> ../secret" in problem
    assert "leave the source bundle" in problem
    assert ".ebignore" in problem
    (warning,) = warned(found)
    assert "the links gone -> lib/none lead to nothing" in warning


def test_a_link_is_read_as_the_file_it_leads_to(tmp_path: Path) -> None:
    write(tmp_path, APP | {"deploy/cron": "version: 1"})
    (tmp_path / "cron.yaml").symlink_to("cron")
    (tmp_path / "cron").symlink_to("deploy/cron")
    assert assess(tmp_path).contents.read("cron.yaml") == "version: 1"
    (tmp_path / "deploy/cron").unlink()
    (tmp_path / "deploy/cron").symlink_to("../cron")  # a loop
    assert assess(tmp_path).contents.read("cron.yaml") is None


@pytest.mark.parametrize("name", ["Procfile", "Buildfile", "package.json", "requirements.txt"])
def test_a_link_that_root_would_not_follow_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path, {"app.js": "", "other": "web: x\n"})
    (tmp_path / name).symlink_to("other")
    expected = f"{name} is a link; put the file itself there, since root reads it"
    assert any(problem.startswith(expected) for problem in refused(assess(tmp_path)))


def test_a_file_that_is_too_large_for_root_to_read_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"Procfile": "web: node app.js\n" + "#" * 2**20, "app.js": ""})
    (problem,) = refused(assess(tmp_path))
    assert "Procfile has 1048593 bytes and may have 1048576" in problem


def test_names_that_differ_in_case_only_are_a_warning_that_names_them(tmp_path: Path) -> None:
    write(tmp_path, APP | {"lib/Readme": "", "lib/README": "", "LIB/x": ""})
    (warning,) = warned(assess(tmp_path))
    assert "the names lib/README and lib/Readme differ in case only" in warning


def test_an_unreadable_file_is_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, APP | {"secret.key": "", "a.key": ""})
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith(".key"))
    problems = refused(assess(tmp_path))
    assert [p.split(";")[0] for p in problems] == [
        "a.key cannot be read: permission denied",
        "secret.key cannot be read: permission denied",
    ]


def test_an_unreadable_directory_is_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, APP | {"private/a": ""})
    scandir = os.scandir

    def guarded(path: str) -> object:
        if str(path).rstrip("/").endswith("private"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    (problem,) = refused(assess(tmp_path))
    assert problem.startswith("private cannot be read: permission denied; ")


def test_what_is_no_file_is_not_packed_with_a_warning(tmp_path: Path) -> None:
    write(tmp_path, APP)
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        found = assess(tmp_path)
    assert set(found.contents.files) == {*APP}
    assert [w.split(" is ")[0] for w in warned(found)] == ["pipe", "s"]


def test_names_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    write(tmp_path, APP)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).write_text("")
    (problem,) = refused(assess(tmp_path))
    assert r"the names 'caf\udce9.txt' are not UTF-8" in problem


def test_a_bundle_that_unpacks_to_more_than_an_instance_takes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "MAX_UNPACKED_BYTES", 1_000)
    write(tmp_path, APP | {"node_modules/big": "x" * 990, "lib/a": "x" * 20})
    (problem,) = refused(assess(tmp_path))
    assert "and may have 1000" in problem
    assert "its largest parts are node_modules/" in problem


def test_a_bundle_that_begins_one_directory_too_high_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "checkout", {"app/Procfile": "web: node app.js", "app/app.js": ""})
    problems = refused(assess(tmp_path / "checkout"))
    assert "everything is inside one folder, app/, with Procfile, app.js" in problems[0]
    assert f"from_asset('{tmp_path}/checkout/app')" in problems[0]


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    (problem,) = refused(assess(tmp_path))
    assert "its source bundle has no files (no ignore file decides which it has)" in problem


def test_an_ebignore_that_leaves_nothing_is_named(tmp_path: Path) -> None:
    write(tmp_path, NODE | {".ebignore": "*"})
    (problem,) = refused(assess(tmp_path))
    assert "no files (.ebignore decides which it has)" in problem


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("app.war", "is a WAR file, which needs Tomcat"),
        ("app.tar.gz", "is not a directory, a .zip archive or a .jar file"),
        ("none", "is not a directory, and no archive"),
    ],
)
def test_what_is_no_source_bundle_is_refused(tmp_path: Path, name: str, says: str) -> None:
    if name != "none":
        (tmp_path / name).write_text("")
    (problem,) = refused(assess(tmp_path / name))
    assert says in problem

"""Nothing of Elastic Beanstalk's in a bundle is passed over in silence."""

from __future__ import annotations

import json
import string
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bootstrap.assessment.bundles import about, refused, warned, write
from worker_tier_bootstrap.assessment import assess

HOOK = "#!/bin/sh\n"

segments = st.sampled_from(
    [
        "hooks", "confighooks", "prebuild", "predeploy", "postdeploy", "nginx", "conf.d",
        "elasticbeanstalk", "nginx.conf", "a.conf", "01.sh", "01.config", "x.yml", "httpd",
        "files", "README.md", ".gitkeep", "hook", "pre_build", "b.config",
    ]
)  # fmt: skip
contents = st.sampled_from(
    ["", HOOK, "x", "location / {}", "option_settings: {}", "a: [", "packages: {yum: {a: []}}"]
)


@st.composite
def bundles(draw: st.DrawFn) -> dict[str, str]:
    files: dict[str, str] = {}
    for _ in range(draw(st.integers(1, 5))):
        root = draw(st.sampled_from([".ebextensions", ".platform"]))
        path = "/".join([root, *draw(st.lists(segments, min_size=1, max_size=4))])
        if not any(p.startswith(f"{path}/") or path.startswith(f"{p}/") for p in files):
            files[path] = draw(contents)
    return files


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(files=bundles())
def test_every_file_has_an_effect_a_warning_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, str]
) -> None:
    found = assess(write(tmp_path_factory.mktemp("bundle"), {"app.js": ""} | files))
    silent = [path for path in files if not about(found, path)]
    assert not silent


names = st.text(string.ascii_letters + string.digits + "_.-/", min_size=1, max_size=8)
KEYS: dict[str, Callable[[str], dict[str, Any]]] = {
    "packages": lambda name: {"yum": {name: []}},
    "groups": lambda name: {name: {}},
    "users": lambda name: {name: {"uid": 5}},
    "sources": lambda name: {name: "https://example.com/x.zip"},
    "files": lambda name: {name: {"content": "x"}},
    "commands": lambda name: {name: {"command": "x"}},
    "services": lambda name: {"systemd": {name: {"enabled": True}}},
    "container_commands": lambda name: {name: {"command": "x"}},
    "Resources": lambda name: {name: {"Type": "AWS::SNS::Topic"}},
}


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(entries=st.dictionaries(st.sampled_from(sorted(KEYS)), names, min_size=1))
def test_every_entry_of_a_configuration_file_is_refused_by_its_name(
    tmp_path_factory: pytest.TempPathFactory, entries: dict[str, str]
) -> None:
    document: dict[str, Any] = {key: KEYS[key](name) for key, name in entries.items()}
    files = {"app.js": "", ".ebextensions/a.config": json.dumps(document)}
    problems = refused(assess(write(tmp_path_factory.mktemp("bundle"), files)))
    assert len(problems) == len(entries)
    for key, name in entries.items():
        assert any(f"`{key}`" in problem and name in problem for problem in problems)


# ---- .platform


def test_hooks_and_nginx_files_have_an_effect_and_no_warning(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "app.js": "",
        ".platform/hooks/prebuild/01.sh*": HOOK,
        ".platform/hooks/postdeploy/02*": b"\x7fELF",
        ".platform/confighooks/predeploy/01.sh*": HOOK,
        ".platform/nginx/conf.d/timeouts.conf": "proxy_read_timeout 300;",
        ".platform/nginx/conf.d/elasticbeanstalk/x.conf": "location /x { return 200; }",
    }
    found = assess(write(tmp_path, files))
    assert not warned(found)
    assert not refused(found)


@pytest.mark.parametrize(
    ("path", "content", "says"),
    [
        (".platform/hooks/prebuild/01.sh", HOOK, "is not executable, and is run all the same"),
        (".platform/hooks/prebuild/01.sh*", "#!/bin/sh\r\n", "has Windows line ends"),
        (".platform/hooks/prebuild/01.sh*", "#!/bin/sh\necho\r\n", "has Windows line ends"),
        (".platform/hooks/predeploy/README*", "read me", "begins with no line such as #!/bin/bash"),
        (".platform/hook/prebuild/01.sh", HOOK, "has no effect: nothing in .platform names it"),
        (".platform/hooks/pre_build/01.sh", HOOK, "hooks are the files of hooks/prebuild"),
        (".platform/hooks/01.sh", HOOK, "hooks are the files of hooks/prebuild"),
        (".platform/httpd/conf.d/x.conf", "", "nginx stands before the application, not Apache"),
        (".platform/nginx/x.conf", "", "nginx reads *.conf in conf.d"),
        (".platform/nginx/conf.d/x.conf.bak", "", "nginx reads *.conf in conf.d"),
        (
            ".platform/nginx/nginx.conf",
            "events {}",
            "is not used; instances have worker-tier's own",
        ),
        (".platform/00_x.config", "", "has no effect: nothing in .platform names it"),
    ],
)
def test_a_file_without_its_usual_effect_is_a_warning(
    tmp_path: Path, path: str, content: str, says: str
) -> None:
    found = assess(write(tmp_path, {"app.js": "", path: content}))
    (warning,) = warned(found)
    assert warning.startswith(path.rstrip("*"))
    assert says in warning
    assert not refused(found)


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (
            "KEY=$(/opt/elasticbeanstalk/bin/get-config environment -k KEY)",
            "which a hook has: $NAME",
        ),
        (". /opt/elasticbeanstalk/support/envvars", "a hook has environment properties"),
        ("source /var/app/venv/*/bin/activate", "use .venv/bin"),
        ("sed -i s/1/2/ /etc/aws-sqsd.d/default.yaml", "by props of the tier"),
    ],
)
def test_a_line_of_a_hook_that_needs_elastic_beanstalk_is_quoted(
    tmp_path: Path, line: str, hint: str
) -> None:
    hook = ".platform/hooks/postdeploy/01.sh*"
    write(tmp_path, {"app.js": "", hook: f"#!/bin/bash\n# {line}\n  {line}\n"})
    (warning,) = warned(assess(tmp_path))
    assert warning.startswith(".platform/hooks/postdeploy/01.sh uses ")
    assert repr(line) in warning
    assert hint in warning


def test_a_script_that_a_hook_names_has_an_effect(tmp_path: Path) -> None:
    files = {
        ".platform/hooks/prebuild/01.sh*": "#!/bin/sh\nbash .platform/scripts/install.sh\n",
        ".platform/scripts/install.sh": "",
    }
    assert not warned(assess(write(tmp_path, {"app.js": ""} | files)))


def test_a_hook_of_an_archive_made_on_windows_has_no_permissions_to_warn_of(
    tmp_path: Path,
) -> None:
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        for name, content in {"app.js": "", ".platform/hooks/prebuild/01.sh": HOOK}.items():
            entry = zipfile.ZipInfo(name)
            entry.create_system = 0
            archive.writestr(entry, content)
    assert not warned(assess(tmp_path / "app.zip"))


def test_a_directory_among_hooks_is_refused_because_an_instance_would_run_it(
    tmp_path: Path,
) -> None:
    path = ".platform/hooks/prebuild/lib/x.sh"
    (problem,) = refused(assess(write(tmp_path, {"app.js": "", path: HOOK})))
    assert problem.startswith(f"{path} is in a directory among hooks")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("location / {\n}\n", ["declares `location /`"]),
        ("  location   /  {", ["declares `location /`"]),
        ("proxy_set_header Connection $connection_upgrade;", ["uses $connection_upgrade"]),
        ("location / { proxy_set_header C $connection_upgrade; }", ["declares", "uses"]),
        ("# location / {\nlocation /x { }\nlocation = / { }", []),
    ],
)
def test_a_server_file_that_nginx_would_refuse_is_refused_at_synth(
    tmp_path: Path, text: str, says: list[str]
) -> None:
    path = ".platform/nginx/conf.d/elasticbeanstalk/00_application.conf"
    problems = refused(assess(write(tmp_path, {"app.js": "", path: text})))
    assert len(problems) == len(says)
    for problem, part in zip(problems, says, strict=True):
        assert part in problem


def test_a_variable_that_the_bundle_defines_itself_may_be_used(tmp_path: Path) -> None:
    upgrade = "map $http_upgrade $connection_upgrade { default upgrade; '' close; }"
    server = ".platform/nginx/conf.d/elasticbeanstalk/ws.conf"
    files = {"app.js": "", server: "location /ws { add_header C $connection_upgrade; }"}
    assert refused(assess(write(tmp_path, files)))
    write(tmp_path, {".platform/nginx/conf.d/upgrade.conf": f"# {upgrade}\n"})
    assert refused(assess(tmp_path))
    write(tmp_path, {".platform/nginx/conf.d/upgrade.conf": upgrade})
    assert not refused(assess(tmp_path))


def test_a_linked_directory_of_configuration_files_is_a_warning(tmp_path: Path) -> None:
    write(tmp_path, {"app.js": "", "deploy/x": ""})
    (tmp_path / ".ebextensions").symlink_to("deploy")
    (warning,) = warned(assess(tmp_path))
    assert warning.startswith(".ebextensions is a link, whose files are not read")


def test_links_of_platform_files_are_followed_as_on_an_instance(tmp_path: Path) -> None:
    write(tmp_path, {"app.js": "", "deploy/hooks/prebuild/1.sh*": "#!/bin/sh\r\n", "x.sh*": ""})
    (tmp_path / ".platform").symlink_to("deploy")
    (tmp_path / "deploy/hooks/prebuild/2.sh").symlink_to("../../../x.sh")
    (tmp_path / "deploy/hooks/predeploy").symlink_to("prebuild")
    found = assess(tmp_path)
    assert [text.split(" ")[0] for text in warned(found)] == [
        ".platform/hooks/prebuild/1.sh",
        ".platform/hooks/prebuild/2.sh",
        ".platform/hooks/predeploy/1.sh",
        ".platform/hooks/predeploy/2.sh",
    ]
    assert not refused(found)
    assert not set(found.contents.files) - {
        *(".platform", "app.js", "x.sh", "deploy/hooks/prebuild/1.sh"),
        *("deploy/hooks/prebuild/2.sh", "deploy/hooks/predeploy"),
    }


@pytest.mark.parametrize("target", ["/etc/hosts", "../../../../outside", "missing"])
def test_a_platform_file_that_is_a_link_out_of_the_bundle_is_refused(
    tmp_path: Path, target: str
) -> None:
    write(tmp_path, {"app.js": "", ".platform/hooks/predeploy/02.sh*": "#!/bin/sh\n"})
    (tmp_path / ".platform/hooks/predeploy/01.sh").symlink_to(target)
    (problem,) = refused(assess(tmp_path))
    assert problem.startswith(".platform/hooks/predeploy/01.sh is a link that leads out of the")

"""Finding an application by its Procfile, and starting it."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import pytest

from tools.demo import application
from tools.demo.application import read_source, web_command
from tools.demo.errors import DemoError
from tools.local_aws.ports import free_port, listening

ENVIRONMENT = {"PATH": os.environ["PATH"]}


def app(directory: Path, procfile: str | None, cron: str | None = None) -> Path:
    if procfile is not None:
        (directory / "Procfile").write_text(procfile)
    if cron is not None:
        (directory / "cron.yaml").write_text(cron)
    return directory


@pytest.mark.parametrize(
    ("procfile", "command"),
    [
        ("web: node app.js\n", "node app.js"),
        ("web:node app.js", "node app.js"),
        (
            "# what runs\n\nworker: x\nweb:  gunicorn -b :$PORT app:app  \n",
            "gunicorn -b :$PORT app:app",
        ),
        ("web: sh -c 'a: b'\r\n", "sh -c 'a: b'"),
    ],
)
def test_the_command_of_web_is_what_is_started(procfile: str, command: str) -> None:
    assert web_command(procfile, Path("Procfile")) == command


@pytest.mark.parametrize(
    ("procfile", "expected"),
    [("worker: x\n", "only worker"), ("", "only none at all"), ("web:\n", "only none at all")],
)
def test_a_procfile_without_web_names_what_it_has_and_the_hint(
    procfile: str, expected: str
) -> None:
    with pytest.raises(DemoError, match=expected) as error:
        web_command(procfile, Path("some/Procfile"))
    assert "some/Procfile has no line `web: <command>`" in str(error.value)
    assert "add one, for example `web: node app.js`" in str(error.value)


def test_every_problem_of_a_directory_is_expected_at_once(tmp_path: Path) -> None:
    cron = 'version: 1\ncron:\n  - name: "a"\n    url: "/x"\n    schedule: "61 * * * *"\n'
    with pytest.raises(DemoError) as error:
        read_source(app(tmp_path, None, cron))
    assert "has no Procfile" in str(error.value)
    assert "61 * * * *" in str(error.value)


def test_a_directory_with_a_procfile_and_good_tasks_is_accepted(tmp_path: Path) -> None:
    cron = 'version: 1\ncron:\n  - name: "a"\n    url: "/x"\n    schedule: "1 * * * *"\n'
    source = read_source(app(tmp_path, "web: ./serve\n", cron))
    assert (source.command, source.directory) == ("./serve", tmp_path.resolve())


def serving(port: int) -> list[str]:
    """Processes of the server that was started; another test may have its port by now."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            arguments = file.read_bytes().split(b"\0")
            if b"http.server" in arguments and str(port).encode() in arguments:
                lines.append(file.parent.name)
    return lines


def test_an_application_gets_port_and_is_awaited_and_ends_with_its_children(tmp_path: Path) -> None:
    # the shell stays the server's parent, as with a Procfile of two commands
    command = f"{sys.executable} -m http.server --bind 127.0.0.1 $PORT; true"
    source = read_source(app(tmp_path, f"web: {command}\n"))
    port = free_port()
    child = application.start(source, port=port, environment=ENVIRONMENT, directory=tmp_path)
    assert listening(port)
    assert serving(port)
    child.stop()
    assert not serving(port)


def test_an_application_that_ends_at_once_is_expected_with_its_output(tmp_path: Path) -> None:
    source = read_source(app(tmp_path, "web: echo no database >&2; exit 3\n"))
    with pytest.raises(DemoError) as error:
        application.start(source, port=free_port(), environment=ENVIRONMENT, directory=tmp_path)
    assert "exit code 3" in str(error.value)
    assert "no database" in str(error.value)
    assert "`web: echo no database >&2; exit 3`" in str(error.value)


def test_an_application_that_does_not_listen_on_port_is_expected_and_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "_START_SECONDS", 0.2)
    source = read_source(app(tmp_path, "web: echo $$ > pid; exec sleep 60\n"))
    port = free_port()
    with pytest.raises(DemoError, match=f"did not listen on 127.0.0.1:{port} within"):
        application.start(source, port=port, environment=ENVIRONMENT, directory=tmp_path)
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)

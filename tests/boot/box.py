"""A disposable instance: systemd-nspawn in private namespaces, which end with this process.

It uses nothing of the host's network or devices: the caller has entered new namespaces,
and the instance gets another network namespace behind a pair of virtual interfaces.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.boot.images import NAMESPACES
from tests.boot.vpc import ADDRESS, DNS, GATEWAY, MAC, METADATA, MIRROR, Vpc

_TOOLS: Final = ("systemd-nspawn", "mmdebstrap", "dpkg-scanpackages", "ip", "nsenter", "openssl")
_INSIDE: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_GROUP: Final = "worker-tier-test-"
_CGROUPS: Final = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd")
#: Exit code of nspawn when the instance reboots.
REBOOTED: Final = 133
_CLOUD_INIT: Final = """\
datasource_list: [Ec2]
datasource: {Ec2: {strict_id: false, timeout: 5, max_wait: 20}}
network: {config: disabled}
locale: false
apt: {preserve_sources_list: true}
ssh_deletekeys: false
# Without udev there is nothing to plug in.
cloud_final_modules: [scripts-vendor, scripts-per-once, scripts-per-boot, scripts-per-instance,
  scripts-user, final-message]
"""


def missing() -> str | None:
    """Return why instances cannot be booted here, or None if they can."""
    if os.geteuid() != 0:
        return "root, for systemd-nspawn"
    for tool in _TOOLS:
        if shutil.which(tool) is None:
            return f"the program {tool} (see .ci/run for the packages)"
    tried = subprocess.run([*NAMESPACES, "true"], capture_output=True)
    return "permission to make namespaces" if tried.returncode else None


def make_network() -> None:
    """A pair of interfaces: the VPC's end here, the instance's in a namespace `inst`."""
    _sh("mount", "-t", "tmpfs", "tmpfs", "/run")
    Path("/run/netns").mkdir()
    _sh("ip", "link", "set", "lo", "up")
    _sh("ip", "netns", "add", "inst")
    _sh("ip", *("link", "add", "vpc0", "type", "veth", "peer", "name", "eth0", "netns", "inst"))
    for address in (f"{GATEWAY}/24", f"{METADATA}/32", f"{DNS}/32"):
        _sh("ip", "addr", "add", address, "dev", "vpc0")
    _sh("ip", "link", "set", "vpc0", "up")
    inside = ("ip", "-n", "inst")
    _sh(*inside, "link", "set", "lo", "up")
    _sh(*inside, "link", "set", "eth0", "address", MAC)
    _sh(*inside, "addr", "add", f"{ADDRESS}/24", "dev", "eth0")
    _sh(*inside, "link", "set", "eth0", "up")
    _sh(*inside, "route", "add", "169.254.0.0/16", "dev", "eth0")
    _sh(*inside, "route", "add", "default", "via", GATEWAY)


class OwnCgroup:
    """A control group for this process tree, so that instances side by side never share one."""

    def __init__(self) -> None:
        self._made: list[Path] = []
        name = f"{_GROUP}{time.time_ns()}"
        for root in _CGROUPS:
            if Path(root, "cgroup.procs").exists():
                place = Path(root, name)
                place.mkdir()
                (place / "cgroup.procs").write_text("0")
                self._made.append(place)

    def close(self) -> None:
        for place in self._made:
            (place.parent / "cgroup.procs").write_text("0")
        remove_empty_cgroups()


def remove_empty_cgroups() -> None:
    """Remove the groups of instances of which no process is left; another's are not touched."""
    for root in _CGROUPS:
        for place in Path(root).glob(f"{_GROUP}*"):
            with contextlib.suppress(OSError):  # it runs, or ends meanwhile, or another removes it
                inner = sorted((path for path in place.rglob("*") if path.is_dir()), reverse=True)
                if not any((path / "cgroup.procs").read_text() for path in [*inner, place]):
                    for path in [*inner, place]:
                        path.rmdir()


class Box:
    """One instance after another, each fresh from the file system `base`."""

    def __init__(self, base: Path, vpc: Vpc, work: Path) -> None:
        self.base = base
        self.vpc = vpc
        self.work = work
        self.root = work / "root"
        self._process: subprocess.Popen[bytes] | None = None
        self._leader = ""
        self.booted_at = 0.0

    def fresh(self) -> None:
        """Mount a new disk: the image below an empty layer."""
        self.discard()
        layers = {name: self.work / name for name in ("upper", "inner")}
        for path in layers.values():
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir()
        self.root.mkdir(exist_ok=True)
        options = f"lowerdir={self.base},upperdir={layers['upper']},workdir={layers['inner']}"
        _sh("mount", "-t", "overlay", "overlay", "-o", options, str(self.root))
        self._write("etc/resolv.conf", f"nameserver {DNS}\noptions timeout:1 attempts:1\n")
        self._write("etc/hostname", "ip-10-77-0-10\n")
        self._write("etc/apt/sources.list", f"deb [trusted=yes] http://{MIRROR}/ ./\n")
        self._write("etc/cloud/cloud.cfg.d/99-test.cfg", _CLOUD_INIT)
        # The daemon's botocore brings its own list of authorities.
        trust = "[Manager]\nDefaultEnvironment=AWS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt\n"
        self._write("etc/systemd/system.conf.d/90-test.conf", trust)
        target = self.root / "usr/local/share/ca-certificates/test.crt"
        shutil.copy(self.vpc.authority, target)
        _sh("chroot", str(self.root), "update-ca-certificates", quiet=True)
        # Java's package wants it, and only minimal images lack it.
        (self.root / "usr/share/man/man1").mkdir(parents=True, exist_ok=True)
        (self.root / "var/log/journal").mkdir(exist_ok=True)  # persistent across reboots

    def discard(self) -> None:
        """Remove the disk."""
        if self.root.is_mount():
            _sh("umount", str(self.root))

    def boot(self, timeout: float = 60) -> None:
        """Power on; returns when systemd runs."""
        console = (self.work / "console.log").open("ab")
        self.booted_at = time.time()
        self._process = subprocess.Popen(
            [
                *("systemd-nspawn", "-q", "-D", str(self.root), "-M", "inst", "--register=no"),
                *("--keep-unit", "--resolv-conf=off", "--timezone=off", "--console=read-only"),
                # Its root may do with its network what that of an instance may.
                *("--network-namespace-path=/run/netns/inst", "--capability=CAP_NET_ADMIN", "-b"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            env={"PATH": os.environ["PATH"], "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
        )
        console.close()
        self._leader = self.wait(self._find_leader, timeout, "the instance's PID 1")
        self.wait(self._systemd_runs, timeout, "systemd")

    def wait(self, poll: Callable[[], object], seconds: float, what: str) -> str:
        """Call `poll` until it returns something true; returns that as text."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := poll():
                return str(found)
            time.sleep(0.05)
        raise AssertionError(f"{what}: not within {seconds:.0f} s\n{self.log_tail()}")

    def run(self, command: str, *, check: bool = True, timeout: float = 120) -> str:
        """Run a shell command on the instance; its output."""
        completed = subprocess.run(
            [
                *("nsenter", "-t", self._leader, "-m", "-u", "-i", "-n", "-p", "-C"),
                *("env", "-i", f"PATH={_INSIDE}", "HOME=/root", "LC_ALL=C.UTF-8"),
                *("SYSTEMD_PAGER=", "TERM=dumb", "bash", "-c", command),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            cwd="/",
        )
        if check and completed.returncode:
            said = completed.stdout + completed.stderr
            raise AssertionError(f"{command!r} ended with {completed.returncode}\n{said}")
        return completed.stdout + completed.stderr

    def succeeds(self, command: str) -> bool:
        return self.run(f"{command} >/dev/null 2>&1 && echo yes", check=False).strip() == "yes"

    def as_service(self, command: str, timeout: float = 240) -> str:
        """Run a command as cloud-init's service would: with the manager's environment."""
        shell = f"{command}; echo exit=$?"
        return self.run(
            f"systemd-run --quiet --wait --pipe --service-type=exec bash -c {shlex.quote(shell)}",
            check=False,
            timeout=timeout,
        )

    def run_user_data(self, timeout: float = 240) -> str:
        """Run the metadata service's present user data, as cloud-init does; ends in `exit=N`."""
        self._write("root/user-data", self.vpc.user_data, inside=True)
        return self.as_service("bash /root/user-data", timeout)

    def cloud_init(self, timeout: float = 240) -> str:
        """Wait until user data has ended; returns cloud-init's status."""
        return self.run("cloud-init status --wait", check=False, timeout=timeout)

    def stop(self, how: str = "poweroff", timeout: float = 120) -> tuple[float, int]:
        """Shut down in order; (seconds, nspawn's exit code)."""
        assert self._process is not None
        started = time.monotonic()
        self.run(f"systemctl {how}", check=False)
        code = self._process.wait(timeout)
        self._process = None
        return time.monotonic() - started, code

    def kill(self) -> None:
        """Pull the plug."""
        if self._process is not None and self._process.poll() is None:
            if self._leader:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(self._leader), signal.SIGKILL)
            self._process.kill()
            self._process.wait()
        self._process = None

    def read(self, path: str) -> str:
        return (self.root / path.lstrip("/")).read_text(encoding="utf-8", errors="replace")

    def console(self) -> str:
        """Return what every boot has written to the console."""
        return (self.work / "console.log").read_text(errors="replace")

    def log_tail(self, lines: int = 40) -> str:
        """The end of the boot's own log."""
        path = self.root / "var/log/worker-tier/bootstrap.log"
        return "\n".join(path.read_text().splitlines()[-lines:]) if path.exists() else "(no log)"

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """A file on the running instance."""
        self._write(path.lstrip("/"), text, mode, inside=True)

    def _write(self, path: str, text: str, mode: int = 0o644, *, inside: bool = False) -> None:
        # A running instance sees the merged mount as well, so both ways are the same.
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        target.chmod(mode)

    def _find_leader(self) -> str | None:
        assert self._process is not None
        if self._process.poll() is not None:
            said = (self.work / "console.log").read_text(errors="replace")[-1500:]
            raise AssertionError(f"nspawn ended with {self._process.returncode}: {said}")
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for pid in children.read_text().split():
            if Path(f"/proc/{pid}/comm").read_text().strip() in ("systemd", "init"):
                return pid
        return None

    def _systemd_runs(self) -> bool:
        state = self.run("systemctl is-system-running", check=False).strip()
        return state in ("starting", "running", "degraded", "initializing")


def _sh(*command: str, quiet: bool = False) -> None:
    subprocess.run(command, check=True, capture_output=quiet)

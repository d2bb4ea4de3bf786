"""The emulator as an object: started on loopback, waited for, and ended with its starter."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import boto3
import botocore.session
from botocore.config import Config

from tools.local_aws.errors import LocalAwsError, tail
from tools.local_aws.ports import free_port, listening
from tools.local_aws.processes import Child

REPOSITORY: Final = Path(__file__).resolve().parents[2]
CACHE: Final = REPOSITORY / ".cache"
PYTHON: Final = REPOSITORY / ".venv-local-aws" / "bin" / "python"
_SERVER: Final = Path(__file__).with_name("server.py")

#: The emulator takes an access key of twelve digits as the account's number.
ACCOUNT: Final = "111111111111"
REGION: Final = "us-east-1"
_START_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.05
#: Attempts to start on a free port. Another program may take it before the server does.
_PORT_ATTEMPTS: Final = 5


class LocalAws:
    """An AWS account on 127.0.0.1, empty at first; a context manager, or `start` and `stop`.

    Args:
        port: where to listen; None takes a free one.
        directory: for the server's log and temporary files. None makes one under `.cache/` and
            removes it at `stop`, unless the server failed.

    Raises:
        LocalAwsError: from `start`, when the server is not installed, the port is taken, or the
            server does not come up; with the end of its log.
    """

    account = ACCOUNT
    region = REGION

    def __init__(self, *, port: int | None = None, directory: Path | None = None) -> None:
        self._wanted_port = port
        self._directory = directory
        self._own_directory = directory is None
        self._child: Child | None = None
        self._clients: dict[str, Any] = {}
        self.port = 0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def endpoint_url(self) -> str:
        """What `AWS_ENDPOINT_URL` is set to."""
        # By name: the CDK's command line and the emulator's S3 know `localhost` for path style.
        return f"http://localhost:{self.port}"

    @property
    def directory(self) -> Path:
        """The directory of this instance's log and temporary files; made at `start`."""
        if self._directory is None:
            raise LocalAwsError("the embedded AWS was not started")
        return self._directory

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.directory / "local-aws.log"

    @property
    def pid(self) -> int:
        """The server's process id."""
        if self._child is None:
            raise LocalAwsError("the embedded AWS is not running")
        return self._child.pid

    def start(self) -> Self:
        """Start the server and wait, at most 30 seconds, until it answers."""
        if not PYTHON.exists():
            raise LocalAwsError(
                f"the embedded AWS is not installed: there is no {PYTHON}; run `make local-aws`"
            )
        self._make_directory()
        if self._wanted_port is not None:
            self._start_on(self._wanted_port)
            return self
        for attempt in range(_PORT_ATTEMPTS):
            try:
                self._start_on(free_port())
            except PortTaken:
                if attempt + 1 == _PORT_ATTEMPTS:
                    raise
            else:
                break
        return self

    def stop(self) -> None:
        """End the server and all that it started; harmless when it does not run."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        if self._child is None:
            return
        died = self._child.exit_code() is not None
        self._child.stop()
        self._child = None
        if self._own_directory and not died:
            shutil.rmtree(self.directory, ignore_errors=True)
            self._directory = None

    def reset(self) -> None:
        """Empty the account, the CDK's bootstrap stack included."""
        request = urllib.request.Request(f"{self.endpoint_url}/_ministack/reset", method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()

    def environment(self) -> dict[str, str]:
        """The variables that make AWS SDKs and the CDK's command line use this account only."""
        return {
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.endpoint_url,
            # Nothing of the user's own AWS set-up may leak in.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            # The command line remembers account numbers by access key; not beyond this instance.
            "CDK_HOME": str(self.directory / "cdk-home"),
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "CDK_VALIDATION": "false",
            "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "20",
            "AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED": "true",
        }

    def process_environment(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """A child's whole environment: `base` (None: this process's) with its AWS_* replaced."""
        inherited = os.environ if base is None else base
        return without_aws(inherited) | self.environment()

    def client(self, service: str) -> Any:
        """A boto3 client of this account, one per service, closed by `stop`."""
        if service not in self._clients:
            core = botocore.session.Session()
            core.set_config_variable("config_file", os.devnull)
            core.set_config_variable("credentials_file", os.devnull)
            session = boto3.Session(
                botocore_session=core,
                aws_access_key_id=ACCOUNT,
                aws_secret_access_key="local",  # noqa: S106 - the emulator checks none
                region_name=REGION,
            )
            self._clients[service] = session.client(
                service,
                endpoint_url=self.endpoint_url,
                config=Config(retries={"total_max_attempts": 1}, max_pool_connections=20),
            )
        return self._clients[service]

    def _make_directory(self) -> None:
        if self._directory is None:
            CACHE.mkdir(exist_ok=True)
            self._directory = Path(tempfile.mkdtemp(prefix="local-aws-", dir=CACHE))
        (self._directory / "tmp").mkdir(parents=True, exist_ok=True)

    def _start_on(self, port: int) -> None:
        if listening(port):
            raise PortTaken(port)
        self.port = port
        self._child = Child([PYTHON, "-P", _SERVER], env=self._server_environment(), log=self.log)
        try:
            self._wait_until_healthy()
        except BaseException:
            self._child.stop()
            self._child = None
            raise

    def _wait_until_healthy(self) -> None:
        assert self._child is not None
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(f"http://127.0.0.1:{self.port}/_ministack/health"):
            code = self._child.exit_code()
            if code is not None and "already in use" in tail(self.log):
                raise PortTaken(self.port)
            if code is not None:
                raise LocalAwsError(
                    f"the embedded AWS ended with exit code {code} while it started; the end of"
                    f" its log ({self.log}):\n{tail(self.log)}"
                )
            if time.monotonic() > deadline:
                raise LocalAwsError(
                    f"the embedded AWS did not answer on 127.0.0.1:{self.port} within"
                    f" {_START_SECONDS:.0f} s; the end of its log ({self.log}):\n{tail(self.log)}"
                )
            time.sleep(_POLL_SECONDS)

    def _server_environment(self) -> dict[str, str]:
        """The server's environment; it listens where these say, and nowhere else."""
        return without_aws(os.environ) | {
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "MINISTACK_REGION": REGION,
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "local",
            "LOG_LEVEL": "WARNING",
            # Listeners and a search for containers that nothing here needs.
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "DOCKER_HOST": "unix:///nonexistent/docker.sock",
            "TMPDIR": str(self.directory / "tmp"),
        }


class PortTaken(LocalAwsError):
    """Another program listens where the embedded AWS should."""

    def __init__(self, port: int) -> None:
        self.port = port
        super().__init__(
            f"port {port} on 127.0.0.1 is taken by another program, so the embedded AWS cannot"
            " listen there; stop that program or choose another port"
        )


def without_aws(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what would point an SDK at an account of the user's."""
    return {name: value for name, value in environment.items() if not name.startswith("AWS_")}


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False

"""The application on the instances: a source bundle as for Elastic Beanstalk, a container, or none.

Synth checks what an instance would find out minutes later: what is started, by which platform, and
whether the bundle's files can be read.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast

from aws_cdk import IgnoreStrategy, Size, Stage, Token
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3_assets as s3_assets
from constructs import Construct

from sqsd.contract import CRON_FILE_NAME
from worker_tier.application.image import image_problems, name_and_grant
from worker_tier.errors import InvalidApplication
from worker_tier.type_checks import checked, example
from worker_tier_bootstrap import contract, platforms, procfile, root_environment
from worker_tier_bootstrap.bundle import Archive, Entry, archive_of
from worker_tier_bootstrap.errors import BootstrapError
from worker_tier_bootstrap.platforms import (
    CONFIGHOOKS,
    HOOKS,
    HOOKS_BEFORE_START,
    PLATFORM_DIRECTORY,
)

_IGNORE_FILE: Final = ".ebignore"
#: EB's limit for a source bundle.
_MAX_SIZE: Final = Size.mebibytes(500)
#: Files of a bundle that root reads on the instance, where it follows no link of them.
_READ_BY_ROOT: Final = (procfile.PROCFILE, procfile.BUILDFILE, "package.json", "requirements.txt")
#: Names of files and directories that no application needs on an instance.
_NEVER: Final = frozenset({".git", ".hg", ".svn", "__pycache__", ".DS_Store", "cdk.out"})


@example("WorkerApplication.from_asset(...)")
@dataclass(frozen=True, kw_only=True)
class WorkerApplication:
    """The web application that answers the POSTs; made by the static methods, not by hand."""

    kind: str
    directory: Path | None = None
    platform: str | None = None
    image: str | None = None
    port: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    start_timeout: int = contract.DEFAULT_START_TIMEOUT
    grant: Callable[[iam.IGrantable], object] = lambda _: None
    image_platform: str | None = None

    @staticmethod
    def external() -> WorkerApplication:
        """The machine image or the user installs it; the daemon POSTs to `http_port`."""
        return WorkerApplication(kind=contract.EXTERNAL)

    @staticmethod
    @checked
    def from_asset(
        directory: str,
        *,
        platform: str | None = None,
        port: int | None = None,
        environment: Mapping[str, str] | None = None,
        start_timeout: int = contract.DEFAULT_START_TIMEOUT,
    ) -> WorkerApplication:
        """A directory with the content of a source bundle of Elastic Beanstalk, behind nginx.

        `Procfile`, `Buildfile`, `.platform/hooks`, `.platform/confighooks`,
        `.platform/nginx/conf.d`, `cron.yaml` and `.ebignore` mean what they mean there.

        Args:
            directory: the application's directory; files that `.ebignore` names are left out.
            platform: a `worker_tier.Platform`, not `docker`. Default: detected from its files, such
                as `package.json`.
            port: port that it listens on, which it gets as PORT. Default: the platform's, as in EB.
            environment: environment properties, at most 4 096 bytes. User data contains them, which
                every process of an instance can read: for secrets, name a parameter of Parameter
                Store instead.
            start_timeout: time (s) in which it must answer after a start, 1 to 3 600. Default: 120.

        Raises:
            InvalidApplication: with every problem found.
        """
        application = WorkerApplication(
            kind=contract.BUNDLE,
            directory=Path(directory),
            platform=platform,
            port=port,
            environment=dict(environment or {}),
            start_timeout=start_timeout,
        )
        problems = application._problems() + _directory_problems(Path(directory), platform)
        if problems:
            raise InvalidApplication(str(directory), problems)
        return application

    @staticmethod
    @checked
    def from_container(
        image: str | ecr_assets.DockerImageAsset | ecr.IRepository,
        *,
        tag: str | None = None,
        platform: ecr_assets.Platform | None = None,
        port: int | None = None,
        environment: Mapping[str, str] | None = None,
        start_timeout: int = contract.DEFAULT_START_TIMEOUT,
    ) -> WorkerApplication:
        """A container whose port is published on loopback only, behind nginx.

        Args:
            image: a name such as `public.ecr.aws/nginx/nginx:1.27`, an asset of the CDK, or a
                repository. Instances may then pull from an asset's repository, from a repository,
                and from one that a name in ECR's private registry has.
            tag: tag or digest (`sha256:...`) of a repository's image. Default: `latest`.
            platform: what the image is built for, as given to an asset, for which it is required;
                an image for another processor than that of the instances is refused. Default: not
                compared.
            port: port of the container, published under the same number. Default: 8080.
            environment: environment properties, at most 4 096 bytes. User data contains them, which
                every process of an instance can read.
            start_timeout: time (s) in which it must answer after a start, 1 to 3 600. Default: 120.

        Raises:
            InvalidApplication: with every problem found.
        """
        if problems := image_problems(image, tag, platform):
            raise InvalidApplication(image if isinstance(image, str) else image.node.path, problems)
        uri, grant = name_and_grant(image, tag)
        application = WorkerApplication(
            kind=contract.CONTAINER,
            image=uri,
            port=port,
            environment=dict(environment or {}),
            start_timeout=start_timeout,
            grant=grant,
            image_platform=None if platform is None else platform.platform,
        )
        if problems := application._problems():
            raise InvalidApplication(uri, problems)
        return application

    @property
    def cron_file(self) -> str | None:
        """Path of the bundle's `cron.yaml`, or None if there is none."""
        if self.directory is None:
            return None
        path = self.directory / CRON_FILE_NAME
        return str(path) if path.is_file() else None

    @checked
    def with_defaults(
        self, environment: Mapping[str, str], *, port: int | None = None
    ) -> WorkerApplication:
        """Return this application with environment properties and a port that it does not set.

        Raises:
            InvalidApplication: with every problem found.
        """
        application = replace(
            self,
            environment={**environment, **self.environment},
            port=port if self.port is None else self.port,
        )
        if problems := application._problems():
            raise InvalidApplication(str(self.directory or self.image), problems)
        return application

    def archive(self) -> Archive:
        """Return the source bundle of the directory, as instances fetch it.

        Raises:
            InvalidApplication: the bundle is larger than EB allows.
        """
        assert self.directory is not None
        # Not the CDK's own ZIP archive, whose SHA-256 is unknown at synth.
        archive = archive_of(dict(bundle_entries(self.directory)))
        if len(archive.content) > _MAX_SIZE.to_bytes():
            raise InvalidApplication(
                str(self.directory),
                [
                    f"the source bundle has {len(archive.content)} bytes and may have"
                    f" {_MAX_SIZE.to_bytes():.0f}; leave files out with an {_IGNORE_FILE}"
                ],
            )
        return archive

    def bind(self, scope: Construct, grantee: iam.IGrantable) -> contract.Application:
        """Upload the application with the stack, and let `grantee` read it.

        Raises:
            InvalidApplication: the bundle is larger than EB allows.
        """
        self.grant(grantee)
        return contract.Application(
            kind=self.kind,
            bundle=None if self.directory is None else self._upload(scope, grantee),
            platform=self.platform,
            image=self.image,
            port=self.port,
            environment=self.environment,
            start_timeout=self.start_timeout,
        )

    def withheld_from_hooks(self) -> list[str]:
        """Return the names of environment properties that the bundle's hooks, if any, lack."""
        if self.directory is None:
            return []
        hooks = (self.directory / PLATFORM_DIRECTORY / place for place in (HOOKS, CONFIGHOOKS))
        has_hooks = any(path.is_file() for place in hooks for path in place.rglob("*"))
        return root_environment.withheld(self.environment) if has_hooks else []

    def listens_on(self) -> int | None:
        """Return the port the application listens on, or None if it is not known at synth."""
        name = platforms.Platform.DOCKER if self.kind == contract.CONTAINER else self.platform
        platform = None if name is None else platforms.PLATFORMS.get(name)
        return self.port if self.port is not None or platform is None else platform.port

    def _problems(self) -> list[str]:
        unknown = Token.is_unresolved(self.image)  # until CloudFormation has made it
        described = {
            "kind": self.kind,
            "image": "known-at-deployment" if unknown else self.image,
            "platform": self.platform,
            "port": self.port,
            "environment": self.environment,
            "start_timeout": self.start_timeout,
        }
        if self.kind == contract.BUNDLE:
            # Placeholders, for the location is known after the upload.
            described["bundle"] = {"bucket": "-", "key": "-", "sha256": "-"}
        return contract.application_problems(described)

    def _upload(self, scope: Construct, grantee: iam.IGrantable) -> contract.S3Object:
        archive = self.archive()
        outdir = cast(Any, Stage.of(scope)).asset_outdir
        path = Path(outdir, f"worker-tier-application.{archive.sha256[:16]}.zip")
        path.write_bytes(archive.content)
        asset = s3_assets.Asset(scope, "Application", path=str(path))
        iam.Grant.add_to_principal(
            grantee=grantee,
            actions=["s3:GetObject"],
            resource_arns=[asset.bucket.arn_for_objects(asset.s3_object_key)],
        )
        return contract.S3Object(
            bucket=asset.s3_bucket_name, key=asset.s3_object_key, sha256=archive.sha256
        )


def bundle_entries(directory: Path) -> Iterator[tuple[str, Entry]]:
    """Yield path and content of every file of a bundle that is not ignored; links stay links."""
    root = directory.resolve()
    ignore = _ignored(root)
    waiting = [root]
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            if path.name in _NEVER or path.name == _IGNORE_FILE:
                continue
            if path.is_dir() and not path.is_symlink():
                if ignore is None or not ignore.completely_ignores(str(path)):
                    waiting.append(path)
            elif ignore is None or not ignore.ignores(str(path)):
                yield path.relative_to(root).as_posix(), _entry(path)


def _ignored(directory: Path) -> IgnoreStrategy | None:
    path = directory / _IGNORE_FILE
    if not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line.strip() and not line.startswith("#")]
    return IgnoreStrategy.git(str(directory), patterns)


def _entry(path: Path) -> Entry:
    if path.is_symlink():
        return Entry(content=str(path.readlink()).encode(), link=True)
    executable = bool(path.stat().st_mode & stat.S_IXUSR)
    return Entry(content=path.read_bytes(), executable=executable)


def _directory_problems(directory: Path, platform: str | None) -> list[str]:
    if not directory.is_dir():
        return [f"{directory} is not a directory; name the application's"]
    problems = []
    for name in _READ_BY_ROOT:
        path = directory / name
        if path.is_symlink():
            problems.append(f"{name} is a link; put the file itself there, since root reads it")
        elif path.exists():
            problems += _file_problems(path, name)
    return problems + _link_problems(directory) + _start_problems(directory, platform)


def _link_problems(directory: Path) -> list[str]:
    """Return the links of `.platform` of which an instance has no file to run or include."""
    root = directory.resolve()
    links = [
        path
        for path in (root / PLATFORM_DIRECTORY, *(root / PLATFORM_DIRECTORY).rglob("*"))
        if path.is_symlink()
    ]
    return [
        f"{path.relative_to(root)} is a link that leads out of the bundle, or nowhere; root runs"
        f" and includes what is in {PLATFORM_DIRECTORY}, so put the file itself there"
        for path in sorted(links)
        if not path.exists() or not path.resolve().is_relative_to(root)
    ]


def _file_problems(path: Path, name: str) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
        if name == procfile.PROCFILE:
            procfile.processes(text)
        elif name == procfile.BUILDFILE:
            procfile.parse(text, name)
    except (OSError, UnicodeDecodeError) as error:
        return [f"{path} cannot be read: {error}"]
    except BootstrapError as error:
        return [f"{error.text}; {error.hint}"]
    return []


def _may_follow(directory: Path) -> bool:
    """Whether a Buildfile or a hook may write the Procfile on the instance, as in EB."""
    hooks = (directory / PLATFORM_DIRECTORY / place for place in HOOKS_BEFORE_START)
    return (directory / procfile.BUILDFILE).exists() or any(
        place.is_dir() and any(place.iterdir()) for place in hooks
    )


def _start_problems(directory: Path, platform: str | None) -> list[str]:
    names = {path.name for path in directory.iterdir()}
    if procfile.PROCFILE in names or _may_follow(directory):
        return []

    def read(name: str) -> str | None:
        path = directory / name
        return path.read_text(encoding="utf-8") if path.is_file() else None

    found = platform or platforms.detect(names)
    known = found is not None and found in platforms.PLATFORMS
    if found is not None and known and platforms.start_of(found, names, read) is not None:
        return []
    return [
        "nothing says how to start the application: there is no Procfile, and no file that a"
        " platform is started by; add a Procfile with a line such as `web: node app.js`"
    ]

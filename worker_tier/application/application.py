"""The application on the instances: a source bundle as for Elastic Beanstalk, a container, or none.

Synth assesses a source bundle as a whole: which files it has, what is started, by which
platform, and what becomes of each of its parts.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import Any, cast

from aws_cdk import Stage, Token
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3_assets as s3_assets
from constructs import Construct

from sqsd.contract import CRON_FILE_NAME
from worker_tier.application.environment import environment_problems
from worker_tier.application.image import image_problems, name_and_grant
from worker_tier.errors import InvalidApplication
from worker_tier.type_checks import checked, example
from worker_tier_bootstrap import contract, platforms, root_environment
from worker_tier_bootstrap.assessment import (
    Assessment,
    PackedBundle,
    UnpackableBundle,
    assess,
    pack,
)
from worker_tier_bootstrap.beanstalk import refusals, sentences
from worker_tier_bootstrap.platforms import CONFIGHOOKS, HOOKS, PLATFORM_DIRECTORY


@example("WorkerApplication.from_asset(...).bundle")
class SourceBundle:
    """A source bundle, which is assessed at once and packed when it is first asked for.

    Args:
        path: a directory, a `.zip` archive or a `.jar` file.
        platform: the platform that code names, or None to detect it.
    """

    def __init__(self, path: str, platform: str | None) -> None:
        #: What is known of it before it is deployed.
        self.assessment: Assessment = assess(Path(path), platform=platform)

    @property
    def platform(self) -> str | None:
        """The platform that runs it, or None if none can."""
        found = self.assessment.platform
        return None if found == platforms.Platform.DOCKER else found

    @cached_property
    def packed(self) -> PackedBundle:
        """Return the archive in a directory of its own, which is removed with this object.

        Raises:
            InvalidApplication: it is larger than EB allows, or a file cannot be read.
        """
        directory = tempfile.mkdtemp(prefix="worker-tier-")
        weakref.finalize(self, shutil.rmtree, directory, ignore_errors=True)
        contents = self.assessment.contents
        try:
            return pack(contents, Path(directory, "bundle.zip"))
        except UnpackableBundle as error:
            raise InvalidApplication(contents.source, [str(error)]) from error

    @property
    def file_name(self) -> str:
        """Return the name of the archive's file; other content has another name."""
        return f"worker-tier-application.{self.packed.sha256[:16]}.zip"

    def write(self, directory: Path) -> Path:
        """Copy the archive into a directory, and return its path."""
        path = directory / self.file_name
        shutil.copyfile(self.packed.path, path)
        return path


@example("WorkerApplication.from_asset(...)")
@dataclass(frozen=True, kw_only=True)
class WorkerApplication:
    """The web application that answers the POSTs; made by the static methods, not by hand."""

    kind: str
    bundle: SourceBundle | None = None
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
        """A source bundle of Elastic Beanstalk, behind nginx: a directory or an archive.

        `Procfile`, `Buildfile`, `.platform/hooks`, `.platform/confighooks`,
        `.platform/nginx/conf.d`, `cron.yaml` and the option settings of `.ebextensions` mean what
        they mean there. All else of Elastic Beanstalk's in it is refused here, or is a warning.

        Args:
            directory: the application's directory, of which `deploy.artifact` of the EB CLI's
                configuration, `.ebignore` or git decides which files are packed; or a `.zip`
                archive, or a `.jar` file.
            platform: a `worker_tier.Platform`, not `docker`. Default: detected from its files, such
                as `package.json`; files of two platforms are refused.
            port: port that it listens on, which it gets as PORT. Default: the platform's, as in EB.
            environment: environment properties, at most 4 096 bytes. User data contains them, which
                every process of an instance can read: for secrets, name a parameter of Parameter
                Store instead.
            start_timeout: time (s) in which it must answer after a start, 1 to 3 600. Default: 120.

        Raises:
            InvalidApplication: with every problem found.
        """
        bundle = SourceBundle(directory, platform)
        application = WorkerApplication(
            kind=contract.BUNDLE,
            bundle=bundle,
            platform=bundle.platform if platform is None else platform,
            port=port,
            environment=dict(environment or {}),
            start_timeout=start_timeout,
        )
        refused = sentences(refusals(bundle.assessment.findings))
        problems = application.problems() + [text for _, text in refused]
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
            image: a name such as `public.ecr.aws/nginx/nginx:1.27`, whose registry is known at
                synth, an asset of the CDK, or a repository. Instances may then pull from an asset's
                repository, from a repository, and from one that a name in ECR's private registry
                has.
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
            raise InvalidApplication(_shown(image), problems)
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
        if problems := application.problems():
            raise InvalidApplication(uri, problems)
        return application

    @property
    def cron_yaml(self) -> tuple[str, bytes] | None:
        """Name and content of the bundle's `cron.yaml`, or None if there is none."""
        if self.bundle is None:
            return None
        contents = self.bundle.assessment.contents
        content = contents.read_bytes(CRON_FILE_NAME)
        return None if content is None else (f"{contents.source}/{CRON_FILE_NAME}", content)

    @property
    def source(self) -> str:
        """What errors call the application: its directory, archive or image."""
        if self.bundle is not None:
            return self.bundle.assessment.contents.source
        return str(self.image)

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
        if problems := application.problems():
            raise InvalidApplication(self.source, problems)
        return application

    def bind(self, scope: Construct, grantee: iam.IGrantable) -> contract.Application:
        """Upload the application with the stack, and let `grantee` read it.

        Raises:
            InvalidApplication: the bundle is larger than EB allows.
        """
        self.grant(grantee)
        return contract.Application(
            kind=self.kind,
            bundle=None if self.bundle is None else self._upload(scope, grantee),
            platform=self.platform,
            image=self.image,
            port=self.port,
            environment=self.environment,
            start_timeout=self.start_timeout,
        )

    def withheld_from_hooks(self) -> list[str]:
        """Return the names of environment properties that the bundle's hooks, if any, lack."""
        if self.bundle is None:
            return []
        contents = self.bundle.assessment.contents
        places = (f"{PLATFORM_DIRECTORY}/{place}" for place in (HOOKS, CONFIGHOOKS))
        has_hooks = any(contents.under(place) for place in places)
        return root_environment.withheld(self.environment) if has_hooks else []

    def listens_on(self) -> int | None:
        """Return the port the application listens on, or None if it is not known at synth."""
        name = platforms.Platform.DOCKER if self.kind == contract.CONTAINER else self.platform
        platform = None if name is None else platforms.PLATFORMS.get(name)
        return self.port if self.port is not None or platform is None else platform.port

    def problems(self) -> list[str]:
        """Return everything wrong with the application, also if it was made by hand."""
        unknown = Token.is_unresolved(self.image)  # until CloudFormation has made it
        described: dict[str, Any] = {
            "kind": self.kind,
            "image": "known-at-deployment" if unknown else self.image,
            "platform": self.platform,
            "port": self.port,
            "start_timeout": self.start_timeout,
        }
        if self.kind == contract.BUNDLE:
            # Placeholders, for the location is known after the upload.
            described["bundle"] = {"bucket": "-", "key": "-", "sha256": "-"}
        return [
            *self._problems_by_hand(),
            *contract.application_problems(described),
            *environment_problems(self.environment),
        ]

    def _problems_by_hand(self) -> Iterator[str]:
        if self.kind == contract.BUNDLE and self.bundle is None:
            yield "application.bundle is missing; make it by WorkerApplication.from_asset(...)"
        try:
            signature(self.grant).bind(None)
        except TypeError:
            yield (
                "application.grant must be a function of one argument, the grantee, got"
                f" {self.grant!r}; leave it out, or make it by WorkerApplication.from_container"
            )

    def _upload(self, scope: Construct, grantee: iam.IGrantable) -> contract.S3Object:
        assert self.bundle is not None
        # Packed here and not by the CDK, whose own ZIP archive has no SHA-256 at synth.
        outdir = cast(Any, Stage.of(scope)).asset_outdir
        path = self.bundle.write(Path(outdir))
        asset = s3_assets.Asset(scope, "Application", path=str(path))
        iam.Grant.add_to_principal(
            grantee=grantee,
            actions=["s3:GetObject"],
            resource_arns=[asset.bucket.arn_for_objects(asset.s3_object_key)],
        )
        return contract.S3Object(
            bucket=asset.s3_bucket_name, key=asset.s3_object_key, sha256=self.bundle.packed.sha256
        )


def _shown(image: str | ecr_assets.DockerImageAsset | ecr.IRepository) -> str:
    """Return what errors call an image that was refused."""
    if not isinstance(image, str):
        return image.node.path
    return "of an image from a token" if Token.is_unresolved(image) else image

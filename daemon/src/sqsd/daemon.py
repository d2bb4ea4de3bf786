"""Puts the adapters into the service: the one module that sees all of the daemon."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import botocore.session
from botocore.exceptions import BotoCoreError

from sqsd import __version__, logs
from sqsd.adapters.application import LocalApplication
from sqsd.adapters.aws import JsonApi
from sqsd.adapters.clock import SystemClock
from sqsd.adapters.credentials import CredentialSource, Endpoint, resolve_endpoint
from sqsd.adapters.sqs import SqsQueue, is_fifo, queue_name
from sqsd.adapters.systemd import Notifier, watchdog_seconds
from sqsd.contract import InvalidSettings, SqsdOptions, TierSettings
from sqsd.core.extras import Extras
from sqsd.core.request import RequestBuilder
from sqsd.logs import JsonLog
from sqsd.service.dispatcher import Dispatcher
from sqsd.service.supervisor import Supervisor

_SHORTEST_SECRET: Final = 16


async def run(settings: TierSettings, directory: Path) -> int:
    """Run a daemon until it is told to stop; the result is its exit code.

    Args:
        directory: where `settings.cron_file` counts from.

    Raises:
        InvalidSettings: AWS's endpoint rules refuse the region or its variant.
    """
    resources, options = settings.resources, settings.options
    clock = SystemClock()
    log = JsonLog(sys.stdout, clock.time)
    session = botocore.session.Session()
    credentials = CredentialSource(session)
    sqs = _endpoint(session, "sqs", resources.region)

    def api() -> JsonApi:
        return JsonApi(
            sqs, credentials, clock, service="sqs", region=resources.region, prefix="AmazonSQS"
        )

    polls, control = api(), api()
    queue = SqsQueue(
        resources.queue_url,
        polls=polls,
        control=control,
        clock=clock,
        visibility_timeout=options.visibility_timeout,
        dead_letter_queue_url=resources.dead_letter_queue_url,
        with_extras=bool(options.extra_headers),
    )
    notifier = Notifier()
    application = LocalApplication(options)

    def ready() -> None:
        log.emit(logs.DAEMON_READY)
        notifier.notify("READY=1")

    dispatcher = Dispatcher(
        options=options,
        queue=queue,
        builder=RequestBuilder(options, queue_name(resources.queue_url), _extras(options)),
        fifo=is_fifo(resources.queue_url),
        application=application,
        clock=clock,
        log=log,
        ready=ready,
    )
    log.emit(
        logs.DAEMON_STARTED,
        version=__version__,
        queue=resources.queue_url,
        endpoint=f"{sqs.host}:{sqs.port}",
        target=f"http://localhost:{options.http_port}{options.http_path}",
        http_connections=options.http_connections,
    )
    supervisor = Supervisor(
        dispatcher=dispatcher,
        scheduler=None,
        clock=clock,
        log=log,
        notify=notifier.notify,
        watchdog_seconds=watchdog_seconds(),
    )
    try:
        return await supervisor.run()
    finally:
        application.close()
        polls.close()
        control.close()


def _extras(options: SqsdOptions) -> Extras | None:
    secret = None
    if options.signing_key_file is not None:
        try:
            secret = Path(options.signing_key_file).read_bytes().strip()
        except OSError as error:
            raise InvalidSettings([f"signing_key_file: {error}"], "sqsd options") from error
        if len(secret) < _SHORTEST_SECRET:
            raise InvalidSettings(
                [
                    f"signing_key_file {options.signing_key_file} must hold at least"
                    f" {_SHORTEST_SECRET} bytes, got {len(secret)}"
                ],
                "sqsd options",
            )
    if secret is None and not options.extra_headers:
        return None
    return Extras(options.extra_headers, secret)


def _endpoint(session: botocore.session.Session, service: str, region: str) -> Endpoint:
    try:
        return resolve_endpoint(session, service, region)
    except BotoCoreError as error:
        raise InvalidSettings(
            [f"no endpoint for {service} in region {region!r}: {error}"], "AWS configuration"
        ) from error

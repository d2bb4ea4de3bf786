"""Composes the daemon: the one module that imports all of its parts."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import botocore.session
from botocore.exceptions import BotoCoreError

from sqsd import __version__
from sqsd.aws.credentials import CredentialSource, Endpoint, new_session, resolve_endpoint
from sqsd.aws.hints import PICKY_PROXY, REDIRECT, hint_for_leader_table
from sqsd.aws.json_api import JsonApi
from sqsd.aws.sqs import SqsQueue, is_fifo, queue_name
from sqsd.base.clock import SystemClock
from sqsd.base.descriptors import Descriptors, usable_connections
from sqsd.base.throttle import LogThrottle
from sqsd.config.signing_key import read_signing_keys
from sqsd.contract import InvalidSettings, SqsdOptions, TierSettings, events
from sqsd.cron.duplicates import DuplicateGuard
from sqsd.cron.file import CronFile
from sqsd.cron.lease import LeaseRules
from sqsd.cron.reload import CronReloader
from sqsd.cron.schedule import Schedule
from sqsd.cron.scheduler import Scheduler
from sqsd.cron.table import DynamoDbLeaderTable
from sqsd.cron.table_log import TableLog
from sqsd.http.application import LocalApplication
from sqsd.http.signature import RequestSigner, SigningApplication
from sqsd.instance.auto_scaling import AutoScalingApi, InstanceProtection, LifecycleHook
from sqsd.instance.imds import Imds, imds_address
from sqsd.instance.scale_in_protection import ScaleInProtection
from sqsd.instance.systemd import Notifier, watchdog_seconds
from sqsd.instance.watcher import InstanceWatcher
from sqsd.messages.connections import ConnectionPool
from sqsd.messages.delivery import ApplicationDelivery, Delivery
from sqsd.messages.dispatcher import Dispatcher
from sqsd.messages.dispatching import Dispatching, oldest_request
from sqsd.messages.extra_headers import Extras
from sqsd.messages.occurrences import Duplicates, OccurrenceDelivery
from sqsd.messages.ports import Application
from sqsd.messages.request import RequestBuilder
from sqsd.messages.runtime import Runtime
from sqsd.messages.several_queues import Readiness, SeveralQueues
from sqsd.observe.assembly import Observability
from sqsd.supervisor import Companion, Supervisor


async def run(settings: TierSettings, directory: Path) -> int:
    """Run a daemon until it is stopped. Returns its exit code.

    Args:
        directory: `settings.cron_file` is relative to it.

    Raises:
        InvalidSettings: AWS's endpoint rules refuse the region, or the signing key is unusable.
    """
    parts = _Parts(settings, directory)
    try:
        return await parts.supervisor().run()
    finally:
        parts.close()


class _QueuePlan(NamedTuple):
    """The settings of one queue's dispatcher."""

    url: str
    weight: int
    dead_letter_queue_url: str | None
    options: SqsdOptions


class _Parts:
    """Builds each part of a daemon from its settings, and closes its connections."""

    _polls: JsonApi
    _control: JsonApi

    def __init__(self, settings: TierSettings, directory: Path) -> None:
        self._signing_keys = read_signing_keys(settings.options.signing_key_file)
        self._http_connections = settings.options.http_connections
        settings = _within_descriptors(settings)
        self._settings = settings
        self._resources = settings.resources
        self._options = settings.options
        self._cron_path = None if settings.cron_file is None else directory / settings.cron_file
        self._first, *self._more = _plans(settings)
        self._fifo = is_fifo(self._first.url)
        self._clock = SystemClock()
        self._observability = Observability(settings, self._clock)
        self._log = self._observability.log
        self._session = new_session()
        self._credentials = CredentialSource(self._session)
        self._descriptors = Descriptors(self._clock, self._log)
        self._application = LocalApplication(
            settings.options, self._proxy_noticed, self._descriptors, self._redirected
        )
        self._redirects = LogThrottle()
        self._proxies: set[str] = set()
        self._notifier = Notifier()
        self._apis: list[JsonApi] = []
        self._imds: list[Imds] = []

    def supervisor(self) -> Supervisor:
        """Build the daemon, down to its connections."""
        options = self._options
        # Two clients for all queues, so that long polls never delay a delete.
        self._polls = self._api("sqs", "AmazonSQS")
        self._control = self._api("sqs", "AmazonSQS")
        queue = self._queue(self._first)
        periodic = self._periodic(queue)
        dispatcher = self._dispatching(queue, periodic)
        self._log.emit(
            events.DAEMON_STARTED,
            version=__version__,
            queue=self._first.url,
            **({"more_queues": [more.url for more in self._more]} if self._more else {}),
            target=f"http://{options.http_host}:{options.http_port}{options.http_path}",
            http_connections=options.http_connections,
            **({"signing_keys": len(self._signing_keys)} if self._signing_keys else {}),
        )
        self._descriptors.check(self._http_connections)
        companions: list[Companion] = self._of_the_instance(dispatcher)
        companions += self._observability.companions(
            dispatcher, self._application, lambda: () if periodic is None else periodic.tasks
        )
        return Supervisor(
            dispatcher=dispatcher,
            scheduler=periodic,
            clock=self._clock,
            log=self._log,
            notify=self._notifier.notify,
            watchdog_seconds=watchdog_seconds(),
            descriptors=self._descriptors,
            companions=companions,
        )

    def close(self) -> None:
        """Close every connection, and the log."""
        self._application.close()
        for api in self._apis:
            api.close()
        for imds in self._imds:
            imds.close()
        self._descriptors.close()
        self._observability.close()

    def _dispatching(self, first: SqsQueue, duplicates: Duplicates | None) -> Dispatching:
        """Return the dispatcher of one queue, or of several; the first has the periodic tasks."""
        plans = (self._first, *self._more)
        connections = ConnectionPool(
            self._options.http_connections,
            self._application,
            Runtime(self._clock, self._log),
            queues=len(plans),
        )
        ready = Readiness(len(plans), self._ready).one
        dispatchers = [self._dispatcher(self._first, first, duplicates, connections, ready)]
        for plan in self._more:
            queue = self._queue(plan)
            dispatchers.append(self._dispatcher(plan, queue, None, connections, ready))
        return SeveralQueues(dispatchers) if self._more else dispatchers[0]

    def _dispatcher(
        self,
        plan: _QueuePlan,
        queue: SqsQueue,
        duplicates: Duplicates | None,
        connections: ConnectionPool,
        ready: Callable[[], None],
    ) -> Dispatcher:
        runtime = Runtime(self._clock, self._observability.queue_log(plan.url))
        return Dispatcher(
            options=plan.options,
            queue=self._observability.queue(queue, plan.url),
            delivery=self._delivery(plan, queue, duplicates, runtime),
            connections=connections,
            runtime=runtime,
            weight=plan.weight,
            ready=ready,
        )

    def _delivery(
        self, plan: _QueuePlan, queue: SqsQueue, duplicates: Duplicates | None, runtime: Runtime
    ) -> Delivery:
        options, application = plan.options, self._application
        if options.inactivity_timeout != self._options.inactivity_timeout:
            application = application.with_inactivity_timeout(options.inactivity_timeout)
        delivery = ApplicationDelivery(
            options,
            RequestBuilder(options, queue_name(plan.url), _extras(options)),
            self._observability.application(self._signing(application, queue), plan.url),
            runtime,
        )
        if duplicates is None:
            return delivery
        return OccurrenceDelivery(delivery, duplicates, runtime.log)

    def _signing(self, application: LocalApplication, queue: SqsQueue) -> Application:
        """Wrap the application so that each POST is signed with the time of SQS's clock."""
        if not self._signing_keys:
            return application
        clock = self._clock
        return SigningApplication(
            application,
            RequestSigner(self._signing_keys),
            lambda: clock.time() + queue.clock_offset,
        )

    def _queue(self, plan: _QueuePlan) -> SqsQueue:
        return SqsQueue(
            plan.url,
            polls=self._polls,
            control=self._control,
            clock=self._clock,
            log=self._observability.queue_log(plan.url),
            visibility_timeout=plan.options.visibility_timeout,
            dead_letter_queue_url=plan.dead_letter_queue_url,
            with_extras=bool(plan.options.extra_headers),
        )

    def _periodic(self, queue: SqsQueue) -> CronReloader | None:
        """Build what periodic tasks need; the leader table's client once a task is enabled."""
        if self._cron_path is None:
            return None
        name = self._resources.leader_table
        file = CronFile(self._cron_path)
        if name is None:
            return CronReloader(file, self._clock, self._log, None, None)
        hint = partial(hint_for_leader_table, table=name)
        table_log = TableLog(name, self._clock, self._log, hint)

        @cache
        def table() -> DynamoDbLeaderTable:
            return DynamoDbLeaderTable(self._api("dynamodb", "DynamoDB_20120810"), name, table_log)

        def scheduler(schedule: Schedule) -> Scheduler:
            return Scheduler(
                schedule,
                table(),
                queue,
                self._clock,
                self._log,
                LeaseRules(_identity()),
                fifo=self._fifo,
            )

        def guard(schedule: Schedule) -> DuplicateGuard:
            return DuplicateGuard(schedule, table(), self._clock)

        return CronReloader(file, self._clock, self._log, scheduler, guard)

    def _of_the_instance(self, dispatcher: Dispatching) -> list[Companion]:
        """Watch and protect the instance; nothing if the metadata service is switched off."""
        address = imds_address()
        if address is None:
            return []
        dispatcher.pause()
        self._imds = [Imds(self._clock, address), Imds(self._clock, address)]
        api = self._auto_scaling()
        hook = self._resources.lifecycle_hook
        watcher = InstanceWatcher(
            source=self._imds[0],
            hook=None if hook is None or api is None else LifecycleHook(api, hook),
            auto_scaling_group=self._resources.auto_scaling_group,
            clock=self._clock,
            log=self._log,
            drain_on_rebalance=self._options.drain_on_rebalance,
        )
        if api is None or not self._options.protect_busy_instance:
            return [watcher]
        protection = ScaleInProtection(
            source=self._imds[1],
            api=InstanceProtection(api),
            auto_scaling_group=self._resources.auto_scaling_group,
            oldest_request=partial(oldest_request, dispatcher),
            is_paused=lambda: dispatcher.paused,
            clock=self._clock,
            log=self._log,
        )
        return [watcher, protection]

    def _auto_scaling(self) -> AutoScalingApi | None:
        """Return Auto Scaling's API, or None if no setting needs it or the region has none."""
        region = self._resources.region
        if self._resources.lifecycle_hook is None and not self._options.protect_busy_instance:
            return None
        try:
            endpoint = resolve_endpoint(self._session, "autoscaling", region)
        except BotoCoreError as error:  # messages need neither the hook nor the protection
            reason = f"no endpoint for autoscaling in region {region!r}: {error}"
            self._log.emit(events.LIFECYCLE_FAILED, reason=reason)
            return None
        return AutoScalingApi(endpoint, self._credentials, self._clock, region=region)

    def _api(self, service: str, prefix: str) -> JsonApi:
        region = self._resources.region
        api = JsonApi(
            _endpoint(self._session, service, region),
            self._credentials,
            self._clock,
            service=service,
            region=region,
            prefix=prefix,
            descriptors=self._descriptors,
        )
        self._apis.append(api)
        return api

    def _proxy_noticed(self, name: str) -> None:
        if name not in self._proxies:
            self._proxies.add(name)
            self._log.emit(events.PROXY_NOTICED, proxy=name, hint=PICKY_PROXY)

    def _redirected(self, status: int, location: str) -> None:
        times = self._redirects.admits(self._clock.monotonic())
        if times:
            where = "https" if location.lower().startswith("https:") else location or "nowhere"
            self._log.emit(
                events.APPLICATION_REDIRECTS,
                status=status,
                location=location,
                times=times,
                reason=f"the application redirects to {where}",
                hint=REDIRECT,
            )

    def _ready(self) -> None:
        self._log.emit(events.DAEMON_READY)
        self._notifier.notify("READY=1")


def _plans(settings: TierSettings) -> list[_QueuePlan]:
    """Return the settings of each queue, the first queue first."""
    resources = settings.resources
    first = _QueuePlan(
        resources.queue_url, settings.weight, resources.dead_letter_queue_url, settings.options
    )
    return [
        first,
        *(
            _QueuePlan(q.queue_url, q.weight, q.dead_letter_queue_url, settings.options_of(q))
            for q in settings.more_queues
        ),
    ]


def _within_descriptors(settings: TierSettings) -> TierSettings:
    """Return the settings with as many connections as there are file descriptors for."""
    options = settings.options
    usable = usable_connections(options.http_connections, fewest=1 + len(settings.more_queues))
    if usable == options.http_connections:
        return settings
    return replace(settings, options=replace(options, http_connections=usable))


def _identity() -> str:
    """Return a name unique to this process, under which it holds the lease."""
    return f"{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}"


def _extras(options: SqsdOptions) -> Extras | None:
    return Extras(options.extra_headers, options) if options.extra_headers else None


def _endpoint(session: botocore.session.Session, service: str, region: str) -> Endpoint:
    try:
        return resolve_endpoint(session, service, region)
    except BotoCoreError as error:
        raise InvalidSettings(
            [f"no endpoint for {service} in region {region!r}: {error}"], "AWS configuration"
        ) from error

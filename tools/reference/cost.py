"""docs/guide/cost.md: what a tier costs a month, computed from the constants of the code.

Prices are AWS's list prices, in USD, of us-east-1. Everything
else comes from the code: how often the daemon polls, how often followers read the lease, how many
metrics it prints, and how many metrics the alarms of a template watch (a test counts those).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import fill
from typing import Final

from sqsd.contract import BATCH_ENTRIES, SqsdOptions
from sqsd.cron.lease import LeaseSettings
from sqsd.observe.emf import EmfReport
from sqsd.observe.metrics import Metrics
from tools.reference.constants import ROOT
from tools.reference.metrics import LEVELS, observed_metrics, printed_units
from worker_tier.fleet.capacity import DEFAULT_INSTANCE_TYPE
from worker_tier.fleet.checks import LEAST_VOLUME_GIBIBYTES
from worker_tier.network import required_interface_endpoints

COST_PAGE: Final = ROOT / "docs" / "guide" / "cost.md"
#: Hours and seconds of a month, as AWS's own calculator counts.
HOURS: Final = 730
SECONDS: Final = HOURS * 3_600
#: Prices in USD: (price, for what, AWS's page of it). The page says where they were read, and when.
PRICES: Final = {
    "instance": (0.0168, f"hour of a {DEFAULT_INSTANCE_TYPE}, on demand", "ec2/pricing/on-demand"),
    "volume": (0.08, "GB-month of gp3", "ebs/pricing"),
    "requests": (0.40, "million SQS requests, 64 KB each", "sqs/pricing"),
    "reads": (0.125, "million DynamoDB read request units", "dynamodb/pricing/on-demand"),
    "writes": (0.625, "million DynamoDB write request units", "dynamodb/pricing/on-demand"),
    "metric": (0.30, "custom or detailed metric and month", "cloudwatch/pricing"),
    "alarm": (0.10, "metric that an alarm watches, and month", "cloudwatch/pricing"),
    "logs": (0.50, "GB of logs taken in", "cloudwatch/pricing"),
    "nat": (0.045, "hour of a NAT gateway, and as much for a GB through it", "vpc/pricing"),
    "endpoint": (0.01, "hour of an interface endpoint in a zone", "privatelink/pricing"),
}
#: Metrics that EC2's detailed monitoring publishes of an instance (EC2 user guide).
DETAILED_METRICS: Final = 7
#: Metrics that the alarms of a tier watch, those of its scaling included: without and with
#: periodic tasks. Target tracking makes one alarm on two metrics, for it never scales in here.
ALARM_METRICS: Final = 12
ALARM_METRICS_TASKS: Final = 13
#: Bytes of a line `message.deleted`: 249 on average in a run of the demo on 2026-11-28.
LINE_BYTES: Final = 250
#: Width of prose in the documents, columns.
_WIDTH: Final = 100
_MINUTES: Final = SECONDS // 60


@dataclass(frozen=True, kw_only=True)
class Load:
    """A tier at work for a month.

    Args:
        instances: instances in service.
        messages: messages a second, over the whole month.
        batch: messages that come in one receive, 1 to 10.
        tasks: occurrences of periodic tasks a minute, or None without periodic tasks.
    """

    instances: int
    messages: float = 0.0
    batch: int = BATCH_ENTRIES
    tasks: float | None = None


@dataclass(frozen=True, kw_only=True)
class Item:
    """One line of the bill: `quantity` times the price of `price`."""

    name: str
    quantity: float
    price: str
    how: str

    @property
    def dollars(self) -> float:
        """What it costs a month, in USD."""
        return self.quantity * PRICES[self.price][0]


IDLE: Final = Load(instances=1)
BUSY: Final = Load(instances=4, messages=50, batch=4, tasks=1)


def items(load: Load) -> Iterator[Item]:
    """Return the lines of a month's bill, without the network and the applications' own."""
    idle = load.messages == 0
    yield Item(
        name="instances", quantity=load.instances * HOURS, price="instance", how="instances x 730 h"
    )
    yield Item(
        name="root volumes",
        quantity=load.instances * LEAST_VOLUME_GIBIBYTES,
        price="volume",
        how=f"instances x {LEAST_VOLUME_GIBIBYTES} GB",
    )
    yield Item(
        name="detailed monitoring",
        quantity=load.instances * DETAILED_METRICS,
        price="metric",
        how=f"instances x {DETAILED_METRICS} metrics",
    )
    yield Item(
        name="SQS requests",
        quantity=requests(load) / 1e6,
        price="requests",
        how="below; the first million of an account is free",
    )
    yield from _leader_items(load)
    yield Item(
        name="the daemons' metrics",
        quantity=len(idle_metrics() if idle else printed_units()) + 1,
        price="metric",
        how="one of each name and tier, however many instances; and `Health`",
    )
    yield Item(
        name="alarms",
        quantity=ALARM_METRICS if load.tasks is None else ALARM_METRICS_TASKS,
        price="alarm",
        how="metrics that alarms watch, those of scaling included",
    )
    yield Item(
        name="log lines",
        quantity=log_gigabytes(load),
        price="logs",
        how=f"{LINE_BYTES} B a message, and the metrics' line a minute and instance",
    )


def requests(load: Load) -> float:
    """Return SQS's requests of a month: polls of idle daemons, or receives, sends and deletes."""
    if load.messages == 0:
        return load.instances * SECONDS / SqsdOptions().wait_time_seconds
    messages = load.messages * SECONDS
    return messages + messages / load.batch + messages / BATCH_ENTRIES


def lease_reads(instances: int) -> float:
    """Return the followers' reads of the lease in a month; their pauses are even on average."""
    settings = LeaseSettings()
    mean_pause = (settings.shortest_read_seconds + settings.read_seconds) / 2
    return max(0, instances - 1) * SECONDS / mean_pause


def idle_metrics() -> dict[str, str]:
    """Return the metrics that a daemon without messages prints, with their units."""
    return printed_units(Metrics())


def log_gigabytes(load: Load) -> float:
    """Return what the daemons of a tier log in a month, in GB."""
    metrics = Metrics() if load.messages == 0 else observed_metrics()
    lines = EmfReport("WorkerTier", "tier").lines(metrics, LEVELS, healthy=True, at=0.0)
    of_metrics = load.instances * _MINUTES * sum(len(line) + 1 for line in lines)
    return (of_metrics + load.messages * SECONDS * LINE_BYTES) / 1e9


def _leader_items(load: Load) -> Iterator[Item]:
    if load.tasks is None:
        return
    renewals = SECONDS / LeaseSettings().renew_seconds
    yield Item(
        name="lease, read by followers",
        quantity=lease_reads(load.instances) / 1e6,
        price="reads",
        how="one read each 1.75 s of every instance but the leader",
    )
    yield Item(
        name="lease and occurrences, written",
        quantity=(renewals + 4 * load.tasks * _MINUTES) / 1e6,
        price="writes",
        how="one write each 5 s, and four of each occurrence",
    )


def cost_page() -> str:
    """Return the page."""
    return "\n".join(
        (
            _INTRODUCTION,
            fill(_EXAMPLES.format(total(IDLE), total(BUSY)), _WIDTH) + "\n",
            *_table(),
            _AFTER.rstrip(),
            fill(_NETWORK.format(**_of_the_network()), _WIDTH, subsequent_indent="  "),
            _PRICES,
            *_prices(),
            "",
        )
    )


def _of_the_network() -> dict[str, float]:
    interfaces = len(required_interface_endpoints())
    return {
        "nat": PRICES["nat"][0] * HOURS,
        "interfaces": interfaces,
        "endpoints": interfaces * 2 * PRICES["endpoint"][0] * HOURS,
    }


def total(load: Load) -> float:
    """Return what a tier costs a month, in USD."""
    return sum(item.dollars for item in items(load))


def _table() -> Iterator[str]:
    yield "| item | idle | busy | how much of it |"
    yield "|---|---|---|---|"
    idle = {item.name: item for item in items(IDLE)}
    for item in items(BUSY):
        first = f"{idle[item.name].dollars:.2f}" if item.name in idle else "-"
        yield f"| {item.name} | {first} | {item.dollars:.2f} | {item.how} |"
    yield f"| **together** | **{total(IDLE):.2f}** | **{total(BUSY):.2f}** | |"


def _prices() -> Iterator[str]:
    yield "| USD | for a | AWS's page |"
    yield "|---|---|---|"
    for price, what, page in PRICES.values():
        yield f"| {price} | {what} | <https://aws.amazon.com/{page}/> |"


_INTRODUCTION: Final = """# Cost

What a tier costs a month, item by item. (Generated by `make reference`: quantities from the code's
own constants, prices below.)
"""
_EXAMPLES: Final = (
    "What a tier costs a month, in USD, in us-east-1, without your network, your application's own"
    " calls and data transfer to the internet. *Idle* is one instance that gets no message: {:.0f}"
    f" USD. *Busy* is {BUSY.instances} instances that work on {BUSY.messages:.0f} messages a second"
    f" all month ({BUSY.messages * SECONDS / 1e6:.0f} million), {BUSY.batch} to a receive, with one"
    " periodic task a minute: {:.0f} USD."
)
_NETWORK: Final = (
    "- **The network is often the largest item.** Instances need a way to AWS. A NAT gateway is"
    " {nat:.0f} USD a month and zone, and its price for each GB. `WorkerTier.add_vpc_endpoints`"
    " makes {interfaces} interface endpoints, {endpoints:.0f} USD a month in two zones, and the"
    " gateways of S3 and DynamoDB, which are free. One network serves many tiers."
)
_AFTER: Final = f"""
## What moves it

- **Requests.** An idle daemon polls once in `wait_time_seconds`: `instances x {SECONDS} /
  {SqsdOptions().wait_time_seconds}` requests a month, and as many for each further queue, whatever
  `http_connections` is, for one long poll is open while there is nothing to do. A message costs a
  send (or a tenth of one in a batch), a share of a receive (`1 / messages in it`) and a tenth of a
  delete. Bodies above 64 KB count as several requests, and so does each heartbeat call for up to
  ten messages. FIFO queues cost a quarter more.
- **Instances.** `min_capacity=0` lets a fleet without periodic tasks sleep; spot instances cost a
  fraction, and the daemon drains on their notice. [Scaling](scaling.md) has both.
- **Metrics.** The daemons' metrics cost the same for one instance and for fifty.
  `metrics_namespace=None` turns them off, with the alarms `NoLeader` and `Unhealthy` that read
  them. Detailed monitoring is per instance.
- **Periodic tasks.** Reads of the lease grow with the fleet; [periodic tasks](cron.md#cost) has a
  table.
"""
_PRICES: Final = """
## Prices

List prices of us-east-1 as third parties' tables gave them on 2026-11-28; none was compared with an
invoice, and AWS's own pages are what counts. Free tiers are not taken off. Other regions differ by
up to a half and more: put your own prices into `PRICES` in `tools/reference/cost.py`.
"""

"""The emulator's program: ministack, with the gaps of its CloudFormation closed that a tier meets.

Runs in `.venv-local-aws` and imports nothing of ours. It replaces private names of ministack, so it
refuses any other version than the one it was checked against.

What stays different from AWS, and so cannot be tested on it: instances are records only (no user
data runs), alarms do not execute scaling policies, lifecycle actions are always "completed", metric
math is stored and not evaluated.
"""

from __future__ import annotations

import sys
import time
import zlib
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

CHECKED_VERSION = "1.5.33"
#: An image that the emulator's EC2 knows.
_IMAGE = "ami-0c2023a1b2c3d4e5f"
_IMAGE_PARAMETERS = tuple(
    f"/aws/service/ami-amazon-linux-latest/al2023-ami-{flavour}kernel-{kernel}-{architecture}"
    for flavour in ("", "minimal-")
    for kernel in ("default", "6.1", "6.12")
    for architecture in ("x86_64", "arm64")
)
_MATH_PLACEHOLDER = {"MetricName": "-", "Namespace": "local-aws/metric-math"}
_SINGLE_METRIC_KEYS = ("MetricName", "Namespace", "Statistic", "Period", "Dimensions")

# ministack is not installed where our types are checked, hence Any.
Module = Any


def check_version() -> None:
    """Stop with a message unless ministack is exactly the checked version."""
    try:
        found = version("ministack")
    except PackageNotFoundError:
        found = "no version"
    if found != CHECKED_VERSION:
        sys.exit(
            f"tools/local_aws/server.py was checked against ministack {CHECKED_VERSION}, found"
            f" {found}: reinstall it with `make local-aws`, or re-check the names it replaces"
        )


def add_public_images(ssm: Module) -> None:
    """Serve the public parameters by which the CDK finds Amazon Linux 2023."""
    ssm._PUBLIC_AMI_PARAMETERS.update(dict.fromkeys(_IMAGE_PARAMETERS, _IMAGE))


def keep_metric_math(provisioners: Module, cloudwatch: Module) -> None:
    """Store alarms on metric math, which ministack refuses; they stay INSUFFICIENT_DATA."""
    single_metric_record = provisioners._cw_metric_alarm_record
    evaluate = cloudwatch._evaluate_alarm

    def record(name: str, props: dict[str, Any]) -> dict[str, Any]:
        queries = props.get("Metrics")
        if not queries:
            return dict(single_metric_record(name, props))
        stored = single_metric_record(name, {**props, "Metrics": None, **_MATH_PLACEHOLDER})
        stored_keys = {
            key: value for key, value in stored.items() if key not in _SINGLE_METRIC_KEYS
        }
        return {
            **{key: value for key, value in stored_keys.items() if value is not None},
            "Metrics": queries,
        }

    def evaluate_single_metrics(alarm: dict[str, Any], *rest: Any, **named: Any) -> Any:
        return None if alarm.get("Metrics") else evaluate(alarm, *rest, **named)

    provisioners._cw_metric_alarm_record = record
    cloudwatch._evaluate_alarm = evaluate_single_metrics


def add_composite_alarms(provisioners: Module, cloudwatch: Module) -> None:
    """Teach CloudFormation `AWS::CloudWatch::CompositeAlarm`, which only the API knows."""

    def put(name: str, props: dict[str, Any]) -> tuple[str, dict[str, str]]:
        request = {**props, "AlarmName": name}
        status, _, body = cloudwatch._put_composite_alarm({}, request, False, is_json=True)
        if status >= 400:
            raise ValueError(body)
        return name, {"Arn": cloudwatch._composite_alarms[name]["AlarmArn"]}

    def create(logical_id: str, props: dict[str, Any], stack: str) -> tuple[str, dict[str, str]]:
        generated = provisioners._physical_name(stack, logical_id, max_len=255)
        return put(props.get("AlarmName") or generated, props)

    def update(name: str, _old: dict[str, Any], new: dict[str, Any], _stack: str) -> Any:
        return put(name, new)

    def delete(name: str, _props: dict[str, Any]) -> None:
        cloudwatch._composite_alarms.pop(name, None)

    provisioners._RESOURCE_HANDLERS["AWS::CloudWatch::CompositeAlarm"] = {
        "create": create,
        "update": update,
        "delete": delete,
    }


def add_flow_logs(provisioners: Module) -> None:
    """Teach CloudFormation `AWS::EC2::FlowLog`: a record only, as no packet flows here."""

    def create(logical_id: str, props: dict[str, Any], stack: str) -> tuple[str, dict[str, str]]:
        id = f"fl-{zlib.crc32(f'{stack}/{logical_id}'.encode()):017x}"
        return id, {"Id": id}

    def update(id: str, _old: dict[str, Any], _new: dict[str, Any], _stack: str) -> Any:
        return id, {"Id": id}

    provisioners._RESOURCE_HANDLERS["AWS::EC2::FlowLog"] = {
        "create": create,
        "update": update,
        "delete": lambda *_: None,
    }


def add_message_moves(sqs: Module) -> None:
    """Teach SQS `StartMessageMoveTask`; what can be received moves at once, as it is."""

    def start(request: dict[str, Any], _url: str) -> dict[str, str]:
        source = sqs._queue_by_arn(request["SourceArn"])
        target = sqs._queue_by_arn(request.get("DestinationArn", ""))
        if source is None or target is None:
            raise sqs._Err("ResourceNotFoundException", "The resource that you specified is none.")
        now = time.time()
        moving = [message for message in source["messages"] if message["visible_at"] <= now]
        source["messages"][:] = [m for m in source["messages"] if m["visible_at"] > now]
        for message in moving:
            target["messages"].append({**message, "receive_count": 0, "first_receive_at": None})
        return {"TaskHandle": sqs.new_uuid()}

    sqs._HANDLERS["StartMessageMoveTask"] = start


def apply_table_options_on_create(provisioners: Module, dynamodb: Module) -> None:
    """Apply expiry, point-in-time recovery and encryption, which ministack does on update only."""
    create = provisioners._ddb_create

    def create_with_options(logical_id: str, props: dict[str, Any], stack: str) -> Any:
        name, attributes = create(logical_id, props, stack)
        apply: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
            ("TimeToLiveSpecification", dynamodb._update_ttl),
            ("PointInTimeRecoverySpecification", dynamodb._update_continuous_backups),
        ]
        for key, call in apply:
            if props.get(key):
                call({"TableName": name, key: props[key]})
        if props.get("SSESpecification"):
            encryption = dict(props["SSESpecification"])
            encryption["Enabled"] = encryption.pop("SSEEnabled", encryption.get("Enabled", False))
            table = dynamodb._tables[name]
            table["SSEDescription"] = dynamodb._sse_description_from_spec(encryption)
        return name, attributes

    # Global tables are made by way of the module's own name, tables by way of the list.
    provisioners._ddb_create = create_with_options
    provisioners._RESOURCE_HANDLERS["AWS::DynamoDB::Table"]["create"] = create_with_options


def main() -> None:
    """Close the gaps, then serve until a signal."""
    check_version()
    service = "ministack.services.{}".format
    provisioners = import_module("ministack.services.cloudformation.provisioners")
    cloudwatch = import_module(service("cloudwatch"))
    add_public_images(import_module(service("ssm")))
    keep_metric_math(provisioners, cloudwatch)
    add_composite_alarms(provisioners, cloudwatch)
    add_flow_logs(provisioners)
    add_message_moves(import_module(service("sqs")))
    apply_table_options_on_create(provisioners, import_module(service("dynamodb")))
    # Its command line reads other arguments; the port and address come by environment.
    sys.argv = [sys.argv[0]]
    import_module("ministack.app").main()


if __name__ == "__main__":
    main()

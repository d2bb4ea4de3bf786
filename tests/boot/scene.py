"""One instance with its VPC and its deployed stack, and what a test asks about them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from tests.boot.box import Box
from tests.boot.stack import Deployed
from tests.boot.vpc import METADATA, Vpc
from tools.local_aws import LocalAws
from worker_tier_bootstrap import paths
from worker_tier_bootstrap.bundle import Entry, archive_of
from worker_tier_bootstrap.contract import BUNDLE
from worker_tier_bootstrap.user_data import files_in_user_data

SERVICES = ("web", "nginx", "sqsd")
_BUCKET = "applications"
_STEP = re.compile(r"^\S+ == (?P<name>[^:]+): (?P<seconds>\d+\.\d) s$", re.MULTILINE)
#: The line of user data that has the description of the instance, after the one before it.
_INSTANCE = re.compile(rf"^(write_json {paths.INSTANCE} \d+ <<'\w+'\n).*\n", re.MULTILINE)
#: Everything that a second run must leave as it is.
_SNAPSHOT = (
    "cd /; (find etc opt usr/lib/systemd usr/local var/app var/lib/worker-tier home -xdev -type f"
    " ! -path etc/ld.so.cache -printf '%p %m %u\\n' -exec sha256sum {} + ; find var/app -type l"
    " -printf '%p %l\\n'; systemctl list-unit-files --no-legend; getent passwd; dpkg -l;"
    " systemctl show -p MainPID web nginx sqsd) | sort"
)


class Scene:
    """An instance that may be booted, and everything around it."""

    def __init__(self, aws: LocalAws, vpc: Vpc, box: Box, deployed: Deployed) -> None:
        self.aws = aws
        self.vpc = vpc
        self.box = box
        self.deployed = deployed
        self.sqs = aws.client("sqs")

    # ---- the application

    def bundle(self, files: Mapping[str, str | Entry], **application: Any) -> str:
        """The user data of the same stack with another application."""
        entries = {
            name: content if isinstance(content, Entry) else Entry(content=content.encode())
            for name, content in files.items()
        }
        return self.archive(archive_of(entries).content, **application)

    def archive(self, content: bytes, **application: Any) -> str:
        """The user data of the same stack with another archive as its source bundle."""
        sha256 = hashlib.sha256(content).hexdigest()
        s3 = self.aws.client("s3")
        s3.create_bucket(Bucket=_BUCKET)
        s3.put_object(Bucket=_BUCKET, Key=f"{sha256}.zip", Body=content)
        bundle = {"bucket": _BUCKET, "key": f"{sha256}.zip", "sha256": sha256}
        return self.with_application(kind=BUNDLE, bundle=bundle, platform=None, **application)

    def with_application(self, **application: Any) -> str:
        """The deployed user data with another description of the application."""
        document = self._instance()
        return self.with_instance(application={**document["application"], **application})

    def with_bucket(self, bucket: str) -> str:
        """The deployed user data with another bucket of the daemon's bundle."""
        return self.with_instance(bundle={**self._instance()["bundle"], "bucket": bucket})

    def with_instance(self, **changes: Any) -> str:
        """The deployed user data with another description of the instance."""
        text = json.dumps({**self._instance(), **changes})
        written, count = _INSTANCE.subn(lambda m: f"{m[1]}{text}\n", self.deployed.user_data)
        assert count == 1
        return written

    def _instance(self) -> dict[str, Any]:
        written = files_in_user_data(self.deployed.user_data)[paths.INSTANCE]
        return dict(json.loads(written))

    def without_aws_access(self) -> str:
        """The deployed user data with `application_aws_access=False`."""
        assert self._instance()["application_aws_access"] is True
        return self.with_instance(application_aws_access=False)

    # ---- messages

    def send(self, body: str, **attributes: str) -> str:
        given = {k: {"DataType": "String", "StringValue": v} for k, v in attributes.items()}
        answer = self.sqs.send_message(
            QueueUrl=self.deployed.queue_url, MessageBody=body, MessageAttributes=given
        )
        return str(answer["MessageId"])

    def left(self) -> tuple[int, int]:
        """(waiting, in flight)."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(
            QueueUrl=self.deployed.queue_url, AttributeNames=names
        )["Attributes"]
        return int(found[names[0]]), int(found[names[1]])

    def received(self) -> str:
        """The sample application's log."""
        path = self.box.root / "tmp/sample-app.log"
        # /tmp is a separate file system on the instance
        return self.box.run(f"cat /{path.relative_to(self.box.root)}", check=False)

    def dispatch(self, body: str, seconds: float = 20, **attributes: str) -> None:
        """Send a message and wait until the application logged it and the queue is empty."""
        self.send(body, **attributes)
        self.box.wait(lambda: body in self.received(), seconds, f"{body} in the application's log")

    def events(self, name: str) -> list[dict[str, Any]]:
        """The daemon's log, those of one event."""
        lines = self.box.read("/var/log/worker-tier/sqsd.log").splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [event for event in found if event.get("event") == name]

    def reaches_metadata(self, user: str) -> bool:
        """Whether a user's process connects to the instance's metadata service."""
        connect = f"exec 3<>/dev/tcp/{METADATA}/80"
        return self.box.succeeds(f"runuser -u {user} -- timeout 5 bash -c '{connect}'")

    def answers(self, id: str) -> list[int]:
        """The statuses for which a message was deleted. Of one message, not of the queue: periodic
        tasks come and go at any moment.
        """
        deleted = self.events("message.deleted")
        return [event["status"] for event in deleted if event["message_id"] == id]

    # ---- services

    def states(self) -> list[str]:
        return self.box.run(f"systemctl is-active {' '.join(SERVICES)}", check=False).split()

    def all_active(self) -> bool:
        return self.states() == ["active"] * len(SERVICES)

    def pid(self, service: str) -> int:
        return int(self.box.run(f"systemctl show -p MainPID --value {service}"))

    def snapshot(self) -> str:
        return self.box.run(_SNAPSHOT)

    def durations(self) -> str:
        """Describe how long each step of the last boot took."""
        log = self.box.read("/var/log/worker-tier/bootstrap.log")
        last = log[log.rindex("== write the settings") :]
        return ", ".join(f"{m['name']} {m['seconds']} s" for m in _STEP.finditer(last))

"""Fetches the bundle from S3 and signals to CloudFormation, before an instance has anything else.

User data carries this file, without remarks, and runs it by the system's own Python, 3.9 or later,
so that a boot that fails before the bundle is there can still signal its failure. Standard library
only. For the same reason it reads `instance.json` and `tier.json` by their keys instead of by the
types of `worker_tier_bootstrap.contract` and `sqsd.contract`.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import hmac
import http.client
import json
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

METADATA = "http://169.254.169.254/latest/"
#: Key of the only entry of an object that stands for a text, by its Base64.
DEFERRED = "$base64"
_TIMEOUT_SECONDS = 20
_ROLE = "meta-data/iam/security-credentials/"
_LOG_TAIL_LINES = 40
#: Pauses between two tries of a signal, in seconds; None after the last try.
_SIGNAL_PAUSES = (1, 2, 4, 8, 16, None)
_BUSY = re.compile("Throttl|RequestLimitExceeded|TooManyRequests")


class Refused(Exception):
    """A call did not succeed; its text says why. `definite`: the same call cannot succeed later."""

    def __init__(self, text: str, definite: bool = False) -> None:
        self.definite = definite
        super().__init__(text)


def plain(value: Any) -> Any:
    """Return a JSON value with its texts instead of the objects that stand for them."""
    if isinstance(value, dict):
        if set(value) == {DEFERRED}:
            return base64.b64decode(value[DEFERRED]).decode()
        return {name: plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def metadata(path: str) -> str:
    """Return a value of the instance metadata service, by a token (IMDSv2)."""
    limit = {"X-aws-ec2-metadata-token-ttl-seconds": "300"}
    try:
        token = _open(METADATA + "api/token", "PUT", limit).decode()
        return _open(METADATA + path, "GET", {"X-aws-ec2-metadata-token": token}).decode()
    except urllib.error.HTTPError as error:
        text = f"the metadata service answers {path} with {error.code}"
        raise Refused(text, error.code == 404) from error
    except (OSError, http.client.HTTPException) as error:
        raise Refused(f"the metadata service does not answer {path}: {error}") from error


def role_keys() -> dict[str, str]:
    """Return the access keys of the instance's role."""
    try:
        role = metadata(_ROLE).split()[0]
        keys = json.loads(metadata(_ROLE + role))
        return {name: keys[name] for name in ("AccessKeyId", "SecretAccessKey", "Token")}
    except (Refused, LookupError, ValueError) as error:
        text = "the instance has no role that gives it keys (%s); attach an instance profile"
        raise Refused(text % error, getattr(error, "definite", False)) from error


def fetch(region: str, bucket: str, key: str, sha256: str, target: str) -> None:
    """Write an object to `target`, which appears only if its SHA-256 is the given one."""
    name = f"s3://{bucket}/{key}"
    host = f"s3.{region}.{domain()}"
    path = "/" + urllib.parse.quote(key)
    if "." in bucket:  # which no wildcard certificate covers
        path = "/" + bucket + path
    else:
        host = f"{bucket}.{host}"
    headers = _signed("s3", region, "GET", host, path, {}, b"")
    part = Path(target + ".part")
    try:
        with _send(_request("https://" + host + path, "GET", headers)) as response:
            actual = _copy(response, part)
    except urllib.error.HTTPError as error:
        text, definite = _reason(error)
        raise Refused(f"{name}: {text}", definite) from error
    except (OSError, http.client.HTTPException) as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            part.unlink()
            text = f"the disk is full at {target}; give instances a larger root_volume_size"
            raise Refused(text, definite=True) from error
        raise Refused(f"{name}: {error or type(error).__name__}") from error
    if actual != sha256:
        part.unlink()
        text = "%s has SHA-256 %s instead of %s; deploy the stack again"
        raise Refused(text % (name, actual, sha256), definite=True)
    part.replace(target)


def _copy(response: http.client.HTTPResponse, part: Path) -> str:
    """Copy a body to a file; returns its SHA-256, or fails if the transfer was cut short."""
    digest = hashlib.sha256()
    size = 0
    with part.open("wb") as file:
        for piece in iter(lambda: response.read(1 << 20), b""):
            digest.update(piece)
            file.write(piece)
            size += len(piece)
        file.flush()
        os.fsync(file.fileno())
    wanted = response.headers.get("Content-Length")
    if wanted is not None and int(wanted) != size:
        raise http.client.HTTPException(f"ended after {size} of {wanted} bytes")
    return digest.hexdigest()


def cloudformation(region: str, action: str, **parameters: str) -> str:
    """Call CloudFormation as the instance's role, or as the instance itself if it has no role."""
    host = f"cloudformation.{region}.{domain()}"
    form = dict(parameters, Action=action, Version="2010-05-15")
    body = urllib.parse.urlencode(form).encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    try:
        headers = _signed("cloudformation", region, "POST", host, "/", headers, body)
    except Refused:
        # As cfn-signal does: the instance's identity document, for which no role is needed.
        document = metadata("dynamic/instance-identity/document").encode()
        signature = metadata("dynamic/instance-identity/signature").replace("\n", "")
        identity = base64.b64encode(document).decode() + ":" + signature
        headers["Authorization"] = "CFN_V1 " + identity
    return _call(action, f"https://{host}/", headers, body)


def signal(instance: dict[str, object], success: bool) -> None:
    """Signal to CloudFormation how the boot ended. A signal has no reason; see `report`."""
    cloudformation(
        str(instance["region"]),
        "SignalResource",
        StackName=str(instance["stack"]),
        LogicalResourceId=str(instance["resource"]),
        UniqueId=metadata("meta-data/instance-id"),
        Status="SUCCESS" if success else "FAILURE",
    )


def report(region: str, log_group: str, lines: list[str]) -> None:
    """Write lines to a log group, in a stream of this instance, where they outlive it."""
    host = f"logs.{region}.{domain()}"
    stream = metadata("meta-data/instance-id") + "/bootstrap"
    where = {"logGroupName": log_group, "logStreamName": stream}
    events = [{"timestamp": int(time.time() * 1000), "message": line} for line in lines if line]
    try:
        json_call("logs", host, region, "Logs_20140328.CreateLogStream", where)
    except Refused as error:
        if "ResourceAlreadyExists" not in str(error):
            raise
    json_call("logs", host, region, "Logs_20140328.PutLogEvents", dict(where, logEvents=events))


def json_call(service: str, host: str, region: str, target: str, request: object) -> str:
    """Call a service of the JSON protocol, version 1.1."""
    body = json.dumps(request).encode()
    headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": target}
    headers = _signed(service, region, "POST", host, "/", headers, body)
    return _call(target, f"https://{host}/", headers, body)


def domain() -> str:
    """Return the domain of the partition's hosts, such as `amazonaws.com`."""
    return metadata("meta-data/services/domain")


def _call(action: str, url: str, headers: dict[str, str], body: bytes) -> str:
    try:
        return _open(url, "POST", headers, body).decode()
    except urllib.error.HTTPError as error:
        text, definite = _reason(error)
        raise Refused(f"{action}: {text}", definite) from error
    except (OSError, http.client.HTTPException) as error:
        raise Refused(f"{action}: {error}") from error


def _open(url: str, method: str, headers: dict[str, str], body: bytes | None = None) -> bytes:
    with _send(_request(url, method, headers, body)) as response:
        return bytes(response.read())


def _request(
    url: str, method: str, headers: dict[str, str], body: bytes | None = None
) -> urllib.request.Request:
    return urllib.request.Request(url, body, headers, method=method)  # noqa: S310 - ours


def _send(request: urllib.request.Request) -> http.client.HTTPResponse:
    # A proxy would be shown the role's keys, and could answer with others.
    direct = [urllib.request.ProxyHandler({})] if request.full_url.startswith(METADATA) else []
    opener = urllib.request.build_opener(*direct)
    response: http.client.HTTPResponse = opener.open(request, timeout=_TIMEOUT_SECONDS)
    return response


def _reason(error: urllib.error.HTTPError) -> tuple[str, bool]:
    """Return an error's text, and whether the same request would fail again."""
    text = error.read().decode("utf-8", "replace")
    found = re.findall(r"<(?:Code|Message)>([^<]*)<", text) or [text[:200]]
    busy = error.code in (408, 429) or _BUSY.search(text)
    shown = "HTTP {} {}".format(error.code, " ".join(": ".join(found).split()))
    return shown, 400 <= error.code < 500 and not busy


def _signed(
    service: str, region: str, method: str, host: str, path: str, more: dict[str, str], body: bytes
) -> dict[str, str]:
    """Return headers with an AWS signature, version 4."""
    keys = role_keys()
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    digest = hashlib.sha256(body).hexdigest()
    headers = dict(more, host=host)
    headers["x-amz-content-sha256"] = digest
    headers["x-amz-date"] = now
    headers["x-amz-security-token"] = keys["Token"]
    names = ";".join(sorted(headers))
    lines = [f"{name}:{headers[name]}\n" for name in sorted(headers)]
    request = "\n".join([method, path, "", "".join(lines), names, digest])
    scope = f"{now[:8]}/{region}/{service}/aws4_request"
    hashed = hashlib.sha256(request.encode()).hexdigest()
    key = ("AWS4" + keys["SecretAccessKey"]).encode()
    for part in [*scope.split("/"), "\n".join(["AWS4-HMAC-SHA256", now, scope, hashed])]:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    headers["authorization"] = (
        "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={}, Signature={}".format(
            keys["AccessKeyId"],
            scope,
            names,
            key.hex(),
        )
    )
    del headers["host"]  # urllib sends it
    return headers


def main(arguments: list[str]) -> int:
    """Run `plain`, `fetch INSTANCE TARGET`, or `signal INSTANCE true|false [LOG OUTCOME]`.

    `plain` turns JSON of user data into JSON. INSTANCE is the path of instance.json. Exit codes: 0
    done; 1 failed, and a retry may succeed; 3 failed, and a retry would fail too.
    """
    if arguments == ["plain"]:
        print(json.dumps(plain(json.load(sys.stdin)), separators=(",", ":")))
        return 0
    command, path = arguments[0], arguments[1]
    instance = json.loads(Path(path).read_text(encoding="utf-8"))
    try:
        if command == "fetch":
            bundle = instance["bundle"]
            where = (bundle["bucket"], bundle["key"], bundle["sha256"], arguments[2])
            fetch(instance["region"], *where)
        elif command == "signal":
            if arguments[2] == "false":
                _report_end_of(arguments[3], arguments[4], path, instance["region"])
            if instance["awaited"]:
                _retry_signal(instance, arguments[2] == "true")
    except Refused as error:
        print(error)
        return 3 if error.definite else 1
    return 0


def _retry_signal(instance: dict[str, object], success: bool) -> None:
    """Signal, and try again while that may succeed."""
    for pause in _SIGNAL_PAUSES:
        try:
            signal(instance, success)
            return
        except Refused as error:
            if error.definite or pause is None:
                raise
            print(f"{error}; next try in {pause} s")
            time.sleep(pause)


def _report_end_of(log: str, outcome: str, instance_path: str, region: str) -> None:
    """Report the end of the log to the tier's log group, if its settings name one.

    The outcome is read from its own file, because the log's writer may not have written it yet.
    """
    try:
        tier = Path(instance_path).with_name("tier.json").read_text(encoding="utf-8")
        log_group = json.loads(tier).get("log_group")
        lines, reason = (_end(path) for path in (log, outcome))
        if lines[-len(reason) :] != reason:
            lines += ["failed: " + line for line in reason]
        if log_group:
            report(region, log_group, lines)
    except (OSError, ValueError, Refused) as error:
        print(f"the end of the log could not be reported: {error}")


def _end(path: str) -> list[str]:
    # A line ends at a line feed only: what a build printed must be no log event apart, in which
    # CloudWatch would read metrics.
    text = Path(path).read_bytes().decode("utf-8", "replace")
    return text.rstrip("\n").split("\n")[-_LOG_TAIL_LINES:]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

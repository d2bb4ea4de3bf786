"""AWS on this machine: an emulator bound to loopback, and the real CDK command line against it."""

from local_aws.errors import LocalAwsError
from local_aws.instance import LocalAws

__all__ = ["LocalAws", "LocalAwsError"]

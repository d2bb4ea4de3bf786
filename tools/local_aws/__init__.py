"""AWS on this machine: an emulator bound to loopback, and the real CDK command line against it."""

from tools.local_aws.errors import LocalAwsError
from tools.local_aws.instance import LocalAws

__all__ = ["LocalAws", "LocalAwsError"]

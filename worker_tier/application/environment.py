"""Checks environment properties at synth, with what only the CDK knows of their values."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import CfnDynamicReference, Tokenization

from worker_tier_bootstrap import contract


def environment_problems(environment: Mapping[str, str]) -> list[str]:
    """Return every problem of environment properties, secrets of the CDK among them.

    A secret that is unwrapped, as in `SecretValue.secrets_manager("db").unsafe_unwrap()`, is a
    token that becomes a dynamic reference, in whose place CloudFormation writes the secret.
    """
    revealed = {name: _revealed(value) for name, value in environment.items()}
    return contract.environment_problems(environment) + contract.reference_problems(revealed)


def _revealed(value: object) -> object:
    """Return a dynamic reference as CloudFormation reads it if the CDK makes one from a value."""
    if not isinstance(value, str):
        return value
    tokens = Tokenization.reverse_string(value).tokens
    if any(isinstance(token, CfnDynamicReference) for token in tokens):
        return f"{contract.DYNAMIC_REFERENCE}...}}}}"
    return value

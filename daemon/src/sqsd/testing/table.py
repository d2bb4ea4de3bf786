"""DynamoDB in memory, as `cron.ports.TableApi`: conditions decide, expressions are really read.

It implements `GetItem`, `PutItem` and `UpdateItem` with the grammar that leader tables need: `SET`
of values, attributes and sums; comparisons, `attribute_exists`, `attribute_not_exists`, `AND`,
`OR`, `NOT` and brackets. Anything else, and every placeholder that is undefined or unused, raises
a `ValidationException`, as DynamoDB does.
"""

from __future__ import annotations

import asyncio
import operator as op
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

from sqsd.base.errors import AwsError, AwsUnreachable

Item = dict[str, dict[str, Any]]
_TOKEN = re.compile(r"\s*(<>|<=|>=|[=<>()+,-]|[#:]?[A-Za-z_][A-Za-z_0-9]*)")
_COMPARE = {"=": op.eq, "<>": op.ne, "<": op.lt, "<=": op.le, ">": op.gt, ">=": op.ge}
#: Names that DynamoDB reserves, as far as a leader table could use one.
_RESERVED = {"state", "schedule", "key", "name", "owner", "status", "time", "token", "ttl", "date"}


def _copy(item: Mapping[str, Mapping[str, Any]]) -> Item:
    return {name: dict(value) for name, value in item.items()}


class FakeDynamoDb:
    """DynamoDB of one region.

    Set `around` to a coroutine function `(action, request, apply)` to inject faults, delays and
    lost answers; it calls `apply()` when, if and as often as it chooses. `calls` counts calls by
    action.

    Args:
        tables: names of the tables that exist; each has the string key `id`.
    """

    def __init__(self, *tables: str) -> None:
        self.items: dict[str, dict[str, Item]] = {table: {} for table in tables}
        self.calls: Counter[str] = Counter()
        self.around: Callable[[str, Mapping[str, Any], Callable[[], Any]], Awaitable[Any]] | None
        self.around = None

    async def call(
        self, action: str, request: Mapping[str, Any], *, timeout: float
    ) -> dict[str, Any]:
        """Make one call, through `around` if it is set."""
        self.calls[action] += 1
        if self.around is None:
            return self.apply(action, request)
        answering = asyncio.ensure_future(
            self.around(action, request, lambda: self.apply(action, request))
        )
        # A call that is given up goes on: what is on the wire arrives.
        await asyncio.wait([answering], timeout=timeout)
        if not answering.done():
            answering.add_done_callback(lambda late: late.cancelled() or late.exception())
            raise AwsUnreachable(action, f"no answer in {timeout:g} s")
        answer: dict[str, Any] = answering.result()
        return answer

    def apply(self, action: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out a call at once, as DynamoDB would.

        Raises:
            AwsError: DynamoDB would refuse the call.
        """
        table = self.items.get(request["TableName"])
        if table is None:
            raise AwsError(action, "ResourceNotFoundException", "Requested resource not found", 400)
        match action:
            case "GetItem":
                item = table.get(request["Key"]["id"]["S"])
                return {} if item is None else {"Item": _copy(item)}
            case "PutItem":
                new = dict(request["Item"])
                key = new["id"]["S"]
                expressions = _Expressions(action, request, table.get(key))
                expressions.check()
                expressions.finish()
                table[key] = _copy(new)
                return {}
            case "UpdateItem":
                key = request["Key"]["id"]["S"]
                expressions = _Expressions(action, request, table.get(key))
                changed = expressions.updated({"id": {"S": key}})
                expressions.check()
                expressions.finish()
                table[key] = changed
                return {"Attributes": _copy(changed)}
            case _:
                raise AwsError(action, "AccessDeniedException", f"not allowed: {action}", 400)


class _Expressions:
    """Evaluates the expressions of one call on the item as it was before the call."""

    def __init__(self, action: str, request: Mapping[str, Any], item: Item | None) -> None:
        self._action = action
        self._request = request
        self._item: Item = _copy(item or {})
        self._names = request.get("ExpressionAttributeNames", {})
        self._values = request.get("ExpressionAttributeValues", {})
        self._used: set[str] = set()
        self._tokens: list[str] = []

    def check(self) -> None:
        """Raise `ConditionalCheckFailedException` unless the condition holds."""
        text = self._request.get("ConditionExpression")
        if text is None:
            return
        self._tokens = self._split(text)
        holds = self._either()
        if self._tokens:
            raise self._invalid(f"unexpected {self._tokens[0]!r} in {text!r}")
        if not holds:
            code = "ConditionalCheckFailedException"
            raise AwsError(self._action, code, "The conditional request failed", 400)

    def updated(self, key: Item) -> Item:
        """Return the item after `SET`; all right-hand sides see the item as it was."""
        text = self._request["UpdateExpression"]
        self._tokens = self._split(text)
        self._expect("SET")
        new = {**_copy(self._item), **key}
        while True:
            name = self._name()
            self._expect("=")
            new[name] = self._sum()
            if not self._tokens:
                return new
            self._expect(",")

    def finish(self) -> None:
        """Raise `ValidationException` if a placeholder was not used."""
        unused = {*self._names, *self._values} - self._used
        if unused:
            raise self._invalid(f"unused in expressions: {sorted(unused)}")

    # ---- conditions

    def _either(self) -> bool:
        result = self._both()
        while self._next_is("OR"):
            right = self._both()
            result = result or right
        return result

    def _both(self) -> bool:
        result = self._one()
        while self._next_is("AND"):
            right = self._one()
            result = result and right
        return result

    def _one(self) -> bool:
        if self._next_is("NOT"):
            return not self._one()
        if self._next_is("("):
            result = self._either()
            self._expect(")")
            return result
        for function, wanted in (("attribute_exists", True), ("attribute_not_exists", False)):
            if self._next_is(function):
                self._expect("(")
                name = self._name()
                self._expect(")")
                return (name in self._item) is wanted
        left = self._operand()
        operator = self._tokens.pop(0)
        right = self._operand()
        return self._compare(left, operator, right)

    def _compare(self, left: Any, operator: str, right: Any) -> bool:
        if left is None or right is None:
            return operator == "<>"
        kind, a = next(iter(left.items()))
        other_kind, b = next(iter(right.items()))
        if kind != other_kind:
            return operator == "<>"
        if kind == "N":
            a, b = Decimal(a), Decimal(b)
        if operator not in _COMPARE:
            raise self._invalid(f"unknown operator {operator!r}")
        return bool(_COMPARE[operator](a, b))

    # ---- values

    def _sum(self) -> dict[str, Any]:
        total = self._present(self._operand())
        while self._tokens and self._tokens[0] in "+-":
            sign = 1 if self._tokens.pop(0) == "+" else -1
            right = self._present(self._operand())
            if "N" not in total or "N" not in right:
                raise self._invalid("sums are of numbers")
            total = {"N": str(Decimal(total["N"]) + sign * Decimal(right["N"]))}
        return total

    def _present(self, value: dict[str, Any] | None) -> dict[str, Any]:
        if value is None:
            raise self._invalid("an attribute of the expression does not exist in the item")
        return value

    def _operand(self) -> dict[str, Any] | None:
        token = self._tokens[0] if self._tokens else ""
        if not token.startswith(":"):
            return self._item.get(self._name())
        self._tokens.pop(0)
        if token not in self._values:
            raise self._invalid(f"undefined value {token}")
        self._used.add(token)
        value: dict[str, Any] = self._values[token]
        return value

    def _name(self) -> str:
        token = self._tokens.pop(0) if self._tokens else ""
        if token.startswith("#"):
            if token not in self._names:
                raise self._invalid(f"undefined name {token}")
            self._used.add(token)
            return str(self._names[token])
        if not re.fullmatch(r"[A-Za-z_][A-Za-z_0-9]*", token):
            raise self._invalid(f"a name was expected, got {token!r}")
        if token.lower() in _RESERVED:
            raise self._invalid(f"{token} is a reserved word")
        return token

    def _next_is(self, token: str) -> bool:
        if self._tokens and self._tokens[0] == token:
            self._tokens.pop(0)
            return True
        return False

    def _expect(self, token: str) -> None:
        if not self._next_is(token):
            raise self._invalid(f"{token!r} was expected before {self._tokens[:1]}")

    def _split(self, text: str) -> list[str]:
        tokens, at = [], 0
        while at < len(text.rstrip()):
            match = _TOKEN.match(text, at)
            if match is None:
                raise self._invalid(f"cannot read {text[at:]!r}")
            tokens.append(match[1])
            at = match.end()
        return tokens

    def _invalid(self, message: str) -> AwsError:
        return AwsError(self._action, "ValidationException", message, 400)

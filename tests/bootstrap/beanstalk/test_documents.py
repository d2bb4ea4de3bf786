from __future__ import annotations

import json
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from worker_tier_bootstrap.beanstalk.documents import (
    MAX_CHARACTERS,
    MAX_DEPTH,
    Items,
    Node,
    Scalar,
    Table,
    UnreadableDocument,
    Unusable,
    read_document,
)


def plain(node: Node) -> Any:
    """A tree as data, without its places."""
    match node:
        case Scalar(value=value):
            return value
        case Items(items=items):
            return [plain(item) for item in items]
        case Table(entries=entries):
            return {entry.key: plain(entry.value) for entry in entries}


def places(node: Node) -> list[tuple[int | None, int | None, str]]:
    """Line, column and path of every value."""
    if isinstance(node, Table):
        return [place for entry in node.entries for place in places(entry.value)]
    if isinstance(node, Items):
        return [place for item in node.items for place in places(item)]
    return [(node.place.line, node.place.column, node.place.path)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:\n  b: 1\n", [(2, 6, "a.b")]),
        ("a:\n- x\n- b: 1\n  c d: 2\n", [(2, 3, "a[0]"), (3, 6, "a[1].b"), (4, 8, "a[1]['c d']")]),
        ('{"a":\n {"b":1, "c":[\n       2]}}', [(2, 7, "a.b"), (3, 8, "a.c[0]")]),
    ],
)
def test_the_place_of_a_value_is_its_line_its_column_and_its_path(
    text: str, expected: list[tuple[int, int, str]]
) -> None:
    assert places(read_document(text)) == expected


def test_data_has_a_path_and_no_line() -> None:
    assert places(read_document({"a": {"b": 1}})) == [(None, None, "a.b")]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (None, None),
        (3, "3"),
        (1.5, "1.5"),
        ("True", "True"),
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05Z"),
        ((1, 2), ["1", "2"]),
    ],
)
def test_data_becomes_text_as_elastic_beanstalk_stores_it(value: object, text: Any) -> None:
    assert plain(read_document({"a": value})) == {"a": text}


def test_merges_and_aliases_are_expanded() -> None:
    text = "base: &b {a: 1, b: 2}\nother: &o {b: 3, c: 4}\nall: {<<: [*b, *o], a: 5}\nagain: *b\n"
    found = plain(read_document(text))
    assert found["all"] == {"a": "5", "b": "2", "c": "4"}
    assert found["again"] == {"a": "1", "b": "2"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1), inner),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(
    value=st.dictionaries(st.text(min_size=1), json_values, min_size=1),
    indent=st.sampled_from([None, 2, "\t"]),
    ascii_only=st.booleans(),
)
def test_json_is_read_as_data_is(value: Any, indent: Any, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert plain(read_document(text)) == plain(read_document(value))


@settings(max_examples=60, deadline=None)
@given(value=st.dictionaries(st.text("abc xyz", min_size=1), json_values, min_size=1))
def test_yaml_is_read_as_data_is(value: Any) -> None:
    text = yaml.safe_dump(value)
    assert plain(read_document(text)) == plain(read_document(value))


@pytest.mark.parametrize(
    ("text", "line", "problem", "hint"),
    [
        ('{"a": ', 1, "not JSON: a value is missing", "correct it"),
        ('{"a": 1}\n{', 2, "not JSON: there is more after the end", ""),
        ('{"a" 1}', 1, "not JSON: a ':' is missing", ""),
        ('{"a": "\\x"}', 1, "not JSON: invalid \\escape", ""),
        ("a: b: c", 1, "not YAML: mapping values are not allowed", ""),
        ("x: 1\n\ta: 1", 2, "not YAML: found character '\\t'", "indent with blanks"),
        ("a: `{}`", 1, "not YAML: found character '`'", "in single quotes"),
        ("a: 1\n---\nb: 1", 2, "not YAML: but found another document", "remove the second `---`"),
        ("!x a: b", 1, "a key has a tag", "begins with ! in quotes"),
        ("? [a]\n: b", 1, "a key is a list or a mapping", "write a text"),
        ("a: 1\n<<: 3", 2, "`<<` must name a mapping", ""),
        ("a: 'x", 1, "not YAML: found unexpected end of stream", ""),
        ("a: \x00", 1, "not YAML: special characters are not allowed", ""),
    ],
)
def test_what_cannot_be_read_is_reported_with_its_line_and_a_hint(
    text: str, line: int, problem: str, hint: str
) -> None:
    with pytest.raises(UnreadableDocument) as caught:
        read_document(text)
    assert problem in caught.value.problem
    assert hint in caught.value.hint
    assert caught.value.place.line == line


def sequence_bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 20)]
    return "\n".join(lines)


def merge_bomb() -> str:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 20)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (sequence_bomb(), "more than 50000 parts once its aliases are expanded"),
        (merge_bomb(), "more than 50000 parts once its aliases are expanded"),
        ("&a [*a]", f"nested more than {MAX_DEPTH} deep, or contain themselves"),
        ("&a {<<: *a}", f"nested more than {MAX_DEPTH} deep, or contain themselves"),
        ("[" * 100_000, f"nested more than {MAX_DEPTH} deep"),
        ("a: " + "[" * 100_000, f"nested more than {MAX_DEPTH} deep"),
        ("- " * 50_000, f"nested more than {MAX_DEPTH} deep"),
        ('{"a":' * 50_000, f"nested more than {MAX_DEPTH} deep"),
        ("a: " + "x" * MAX_CHARACTERS, "characters and may have"),
        ([0] * 60_000, "more than 50000 parts"),
        (iter(int, 1), "more than 50000 parts"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else type(value).__name__,
)
def test_a_bomb_ends_fast_with_a_clear_error(document: object, words: str) -> None:
    start = time.process_time()
    with pytest.raises(UnreadableDocument) as caught:
        read_document(document)
    assert words in caught.value.problem
    assert caught.value.hint
    assert time.process_time() - start < 10  # seconds; a bomb would take longer than the universe


def test_data_that_contains_itself_ends() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(UnreadableDocument, match="contain themselves"):
        read_document(loop)


def test_a_mapping_without_a_key_is_refused() -> None:
    with pytest.raises(UnreadableDocument) as caught:
        read_document({None: 1})
    assert caught.value.hint


@pytest.mark.parametrize(
    ("document", "problem", "hint"),
    [
        ("a: !!python/object:os.system x", "a value of YAML's type python/object", "quotes"),
        ("a: !x/y z", "a tag is no function of CloudFormation", "begins with ! in quotes"),
        ("a: !!binary aGk=", "a value of YAML's type binary", "in quotes"),
        ({"a": b"x"}, "a value is of the type bytes", "pass texts, numbers"),
        ({"a": object()}, "a value is of the type object", "pass texts, numbers"),
        ({"a": 1j}, "a value is of the type complex", "pass texts, numbers"),
        ({"a": Path("x")}, "a value is the path of a file", "pass one pathlib.Path alone"),
    ],
)
def test_a_value_that_is_no_text_leaves_the_rest_of_the_document_readable(
    document: Any, problem: str, hint: str
) -> None:
    node = read_document(f"{document}\nb: 1" if isinstance(document, str) else document | {"b": 1})
    assert isinstance(node, Table)
    found, rest = node.get("a"), node.get("b")
    assert isinstance(found, Unusable)
    assert problem in found.problem
    assert hint in found.hint
    assert isinstance(rest, Scalar)
    assert rest.value == "1"


@pytest.mark.parametrize("name", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_files_bytes_are_read_in_the_encoding_that_they_name(name: str) -> None:
    assert plain(read_document("a: é".encode(name))) == {"a": "é"}


@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be"])
def test_the_mark_of_utf_16_tells_its_order(name: str) -> None:
    assert plain(read_document("\ufeffa: é".encode(name))) == {"a": "é"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a: 1\nb: \xe9", "a byte of the document is not UTF-8: 0xe9 in line 2"),
        ("a: 1".encode("utf-16-le"), "bytes of zero, as UTF-16 has, and no mark of its encoding"),
        (b"\xff\xfea\x00:", "a byte of the document is not UTF-16: 0x3a"),
    ],
)
def test_bytes_of_another_encoding_are_refused_with_their_line(content: bytes, words: str) -> None:
    with pytest.raises(UnreadableDocument) as caught:
        read_document(content)
    assert words in caught.value.problem
    assert caught.value.hint == "save the file as UTF-8"

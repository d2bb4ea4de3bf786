"""The signature of a request: what it covers, and that the documented programs verify it."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqsd import contract
from sqsd.contract import SqsdOptions
from sqsd.http.signature import signed_text
from sqsd.messages.request import RequestBuilder
from sqsd.testing import SignedRequest, signed_request
from tests.daemon.messages.requests import build, text

AT: Final = 1_767_225_600
KEY: Final = "0123456789abcdef" * 4
OTHER_KEY: Final = "fedcba9876543210" * 4
PAGE: Final = Path(__file__).parents[3] / "docs" / "guide" / "signed-requests.md"
Headers = list[tuple[str, str]]

TASK: Final = {
    contract.ATTRIBUTE_SCHEDULED_TIME: "2023-01-15 07:42:00 UTC",
    contract.ATTRIBUTE_PATH: "/nightly report?day=1",
    contract.ATTRIBUTE_TASK_NAME: "nightly",
}
ATTRIBUTES: Final = {"zone-b": "é\tü  ", "zone-a": "1", "zone.c": "2", "traceId": "x\ny", "e": ""}


class Case(NamedTuple):
    """A request, and whether an application that has `KEY` accepts it."""

    name: str
    request: SignedRequest
    accepted: bool
    now: int = AT


def with_headers(request: SignedRequest, change: Callable[[Headers], Headers]) -> SignedRequest:
    return request._replace(headers=change(list(request.headers)))


def changed(request: SignedRequest, name: str, value: str) -> SignedRequest:
    assert any(n == name for n, _ in request.headers)
    return with_headers(
        request, lambda headers: [(n, value if n == name else v) for n, v in headers]
    )


def renamed(request: SignedRequest, old: str, new: str) -> SignedRequest:
    assert any(n == old for n, _ in request.headers)
    return with_headers(request, lambda h: [(new if n == old else n, v) for n, v in h])


def signature_of(request: SignedRequest) -> str:
    return dict(request.headers)[contract.HEADER_SIGNATURE]


def cases() -> list[Case]:
    plain = signed_request(KEY, at=AT, options=SqsdOptions(http_path="/in?a=1"))
    full = signed_request(KEY, body="ü\0,1:a", at=AT, attributes=ATTRIBUTES)
    task = signed_request(KEY, at=AT, attributes=TASK)
    rotating = signed_request(OTHER_KEY, KEY, at=AT)
    signature = signature_of(plain)
    forged = [
        ("another body", plain._replace(body=b"work!")),
        ("another target", plain._replace(target="/in?a=2")),
        ("another method", plain._replace(method="PUT")),
        ("another content type", changed(plain, "Content-Type", "text/plain")),
        ("another message id", changed(plain, contract.HEADER_MESSAGE_ID, "m-2")),
        ("another receive count", changed(plain, contract.HEADER_RECEIVE_COUNT, "2")),
        ("another queue", changed(plain, contract.HEADER_QUEUE, "other")),
        ("another sender", changed(plain, contract.HEADER_SENDER_ID, "ROOT")),
        ("another attribute", changed(full, "X-Aws-Sqsd-Attr-Zone-A", "2")),
        ("another task", changed(task, contract.HEADER_TASK_NAME, "daily")),
        ("another time", changed(task, contract.HEADER_SCHEDULED_AT, "2023-01-15T07:43:00Z")),
        # a server may take these names for the daemon's, and an application not
        ("a dot in a name", renamed(full, "X-Aws-Sqsd-Attr-Zone-A", "X-Aws-Sqsd-Attr-Zone.A")),
        ("a header twice", with_headers(plain, lambda h: [("X-Aws-Sqsd-Queue", "w"), *h])),
        ("an added header", with_headers(plain, lambda h: [*h, ("X-Aws-Sqsd-Attr-Admin", "1")])),
        ("an added task", with_headers(plain, lambda h: [*h, (contract.HEADER_TASK_NAME, "t")])),
        (
            "a removed header",
            with_headers(full, lambda h: [p for p in h if p[0] != "X-Aws-Sqsd-Attr-E"]),
        ),
        (
            "no signature",
            with_headers(plain, lambda h: [p for p in h if p[0] != contract.HEADER_SIGNATURE]),
        ),
        ("another key", signed_request(OTHER_KEY, at=AT)),
        ("a moved time", changed(plain, contract.HEADER_SIGNATURE, signature.replace("6", "7", 1))),
        ("an unknown version", changed(plain, contract.HEADER_SIGNATURE, _renamed(signature))),
        ("no time", changed(plain, contract.HEADER_SIGNATURE, signature.partition(",")[2])),
        ("two times", changed(plain, contract.HEADER_SIGNATURE, f"t={AT},{signature}")),
        ("an empty signature", changed(plain, contract.HEADER_SIGNATURE, f"t={AT},v1=")),
        ("nonsense", changed(plain, contract.HEADER_SIGNATURE, "t,v1,=,,")),
        ("an endless time", changed(plain, contract.HEADER_SIGNATURE, f"t={'9' * 30},v1=a")),
    ]
    return [
        Case("plain", plain, True),
        Case("attributes and a binary body", full, True),
        Case("a periodic task", task, True),
        Case("two keys", rotating, True),
        Case(
            "a field of the future",
            changed(plain, contract.HEADER_SIGNATURE, f"v9=ab,{signature}"),
            True,
        ),
        Case(
            "headers in another order and case",
            with_headers(full, lambda h: [(n.lower(), v) for n, v in reversed(h)]),
            True,
        ),
        Case(
            "headers that proxies add", with_headers(plain, lambda h: [*h, ("Via", "1.1 a")]), True
        ),
        Case("nearly too old", plain, True, AT + 300),
        Case("too old", plain, False, AT + 301),
        Case("of the future", plain, False, AT - 301),
        *(Case(name, request, False) for name, request in forged),
    ]


def _renamed(signature: str) -> str:
    return signature.replace(",v1=", ",v2=")


CASES: Final = cases()


def raw_cases() -> list[Case]:
    """Requests that are refused by whoever sees names and headers as they were sent."""
    full = signed_request(KEY, at=AT, attributes={"dry_run": "true", "From-Account": "A"})
    content_type = ("Content-Type", "text/evil")
    return [
        Case("names of letters, digits and -", full, True),
        Case(
            "an underscore in a name",
            renamed(full, "X-Aws-Sqsd-Attr-Dry-Run", "X-Aws-Sqsd-Attr-Dry_run"),
            False,
        ),
        Case(
            "an underscore before it", renamed(full, "X-Aws-Sqsd-Queue", "X_Aws-Sqsd-Queue"), False
        ),
        Case("another name of its", renamed(full, "Content-Type", "Content_Type"), False),
        Case("a content type before", with_headers(full, lambda h: [content_type, *h]), False),
        Case("a content type behind", with_headers(full, lambda h: [*h, content_type]), False),
        Case("a header twice", with_headers(full, lambda h: [h[2], *h]), False),
    ]


RAW_CASES: Final = raw_cases()
#: Programs that see names and headers as they were sent; the others have one value for each name.
SEE_RAW: Final = ("js", "java", "go")


def block(language: str) -> str:
    """The program of a language in the documentation."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.S | re.M)
    return str(found)


VERIFIER: Final = compile(block("python"), str(PAGE), "exec")


def cases_of(language: str) -> list[Case]:
    return [*CASES, *RAW_CASES] if language in SEE_RAW else CASES


def as_json(language: str) -> str:
    return json.dumps(
        [
            {
                "method": case.request.method,
                "target": case.request.target,
                "headers": case.request.headers,
                "body": base64.b64encode(case.request.body).decode(),
                "now": case.now,
            }
            for case in cases_of(language)
        ]
    )


def wrong(answers: list[bool], cases: list[Case]) -> list[str]:
    assert len(answers) == len(cases)
    return [
        case.name
        for case, answer in zip(cases, answers, strict=True)
        if answer is not case.accepted
    ]


def test_the_python_of_the_documentation_accepts_what_the_daemon_signed_and_nothing_else() -> None:
    module: dict[str, Any] = {}
    exec(VERIFIER, module)  # noqa: S102 - it is this repository's
    cases = [*CASES, *RAW_CASES]
    answers = [module["is_signed"](KEY.encode(), *case.request, case.now) for case in cases]
    assert wrong(answers, cases) == []
    # and with the bytes that ASGI has
    raw = [
        module["is_signed"](
            KEY.encode(),
            request.method,
            request.target,
            [(n.encode("latin-1"), v.encode("latin-1")) for n, v in request.headers],
            request.body,
            now,
        )
        for _, request, _, now in cases
    ]
    assert wrong(raw, cases) == []


#: Language -> name of its program in the documentation's page, and what runs it on the cases.
PROGRAMS: Final = {
    "js": (
        "verify.mjs",
        ["node", "verify.mjs"],
        """
import { readFileSync } from "node:fs";
const cases = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(cases.map((c) => isSigned(
  process.env.KEY, c.method, c.target, c.headers.flat(), Buffer.from(c.body, "base64"), c.now))));
""",
    ),
    "php": (
        "verify.php",
        ["php", "verify.php"],
        r"""
$answers = [];
foreach (json_decode(stream_get_contents(STDIN), true) as $case) {
    $server = ['REQUEST_METHOD' => $case['method'], 'REQUEST_URI' => $case['target']];
    foreach ($case['headers'] as [$name, $value]) {
        $name = strtoupper(str_replace('-', '_', $name));
        $server[$name === 'CONTENT_TYPE' ? $name : "HTTP_$name"]
            = preg_replace_callback('/[\xC2\xC3][\x80-\xBF]/', fn ($two) =>  // to Latin-1
                chr(((ord($two[0][0]) & 3) << 6) | (ord($two[0][1]) & 63)), $value);
    }
    $answers[] = is_signed(getenv('KEY'), $server, base64_decode($case['body']), $case['now']);
}
echo json_encode($answers);
""",
    ),
    "ruby": (
        "verify.rb",
        ["ruby", "verify.rb"],
        r"""
require "json"
puts(JSON.parse($stdin.read).map do |c|
  env = { "REQUEST_METHOD" => c["method"], "REQUEST_URI" => c["target"] }
  c["headers"].each do |name, value|
    name = name.upcase.tr("-", "_")
    env[name == "CONTENT_TYPE" ? name : "HTTP_#{name}"] = value.encode("ISO-8859-1").b
  end
  signed?(ENV["KEY"], env, c["body"].unpack1("m"), c["now"])
end.to_json)
""",
    ),
    "java": (
        "SqsdSignature.java",
        ["java", "-XX:TieredStopAtLevel=1", "SqsdSignature.java"],
        "",  # see `_java`
    ),
    "go": (
        "verify.go",
        ["go", "run", "verify.go"],
        r"""
func main() {
	var cases []struct {
		Method, Target string
		Headers        [][2]string
		Body           []byte
		Now            int64
	}
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		panic(err)
	}
	answers := []bool{}
	for _, c := range cases {
		r := &http.Request{Method: c.Method, RequestURI: c.Target, Header: http.Header{}}
		for _, header := range c.Headers {
			latin := []byte{}
			for _, letter := range header[1] {
				latin = append(latin, byte(letter))
			}
			r.Header.Add(header[0], string(latin))
		}
		key, now := []byte(os.Getenv("KEY")), time.Unix(c.Now, 0)
		answers = append(answers, IsSigned(key, r, c.Body, now))
	}
	json.NewEncoder(os.Stdout).Encode(answers)
}
""",
    ),
}
#: Java has no JSON: a case is a line, with `\1` between its parts.
_JAVA_MAIN: Final = r"""
    public static void main(String[] arguments) throws Exception {
        var in = new java.io.BufferedReader(
                new java.io.InputStreamReader(System.in, StandardCharsets.UTF_8));
        List<Boolean> answers = new ArrayList<>();
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] parts = line.split("\1", -1);
            Map<String, List<String>> headers = new TreeMap<>();
            for (int i = 4; i < parts.length; i += 2) {
                headers.computeIfAbsent(parts[i], name -> new ArrayList<>()).add(parts[i + 1]);
            }
            byte[] body = java.util.Base64.getDecoder().decode(parts[2]);
            byte[] key = System.getenv("KEY").getBytes(StandardCharsets.UTF_8);
            answers.add(isSigned(key, parts[0], parts[1], headers, body,
                    Long.parseLong(parts[3])));
        }
        System.out.println(answers);
    }
}
"""


def _program(language: str) -> str:
    text, more = block(language), PROGRAMS[language][2]
    if language == "java":
        return text.rstrip().removesuffix("}") + _JAVA_MAIN
    if language == "go":
        text = text.replace("package sqsd", "package main", 1)
        text = text.replace("import (", 'import (\n\t"encoding/json"\n\t"os"', 1)
    return text + more


def _input(language: str) -> str:
    if language != "java":
        return as_json(language)
    return "".join(
        "\1".join(
            [
                case.request.method,
                case.request.target,
                base64.b64encode(case.request.body).decode(),
                str(case.now),
                *(part for header in case.request.headers for part in header),
            ]
        )
        + "\n"
        for case in cases_of(language)
    )


@pytest.mark.parametrize("language", PROGRAMS)
def test_the_programs_of_the_documentation_agree(language: str, tmp_path: Path) -> None:
    name, command, _ = PROGRAMS[language]
    if shutil.which(command[0]) is None:
        # Node is needed by the whole suite; the other languages are run where they are installed.
        assert language != "js", "node is missing"
        pytest.skip(f"{command[0]} is not installed")
    (tmp_path / name).write_text(_program(language))
    ended = subprocess.run(
        command,
        input=_input(language),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KEY": KEY},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert wrong(json.loads(ended.stdout), cases_of(language)) == []


# ---- the signed text


def test_the_signed_text_is_the_documented_one() -> None:
    headers = [
        (b"Content-Type", b"application/json"),
        (b"User-Agent", b"aws-sqsd"),
        (b"X-Aws-Sqsd-Queue", b"work"),
        (b"X-Aws-Sqsd-Attr-A-B", b"1"),
    ]
    assert signed_text(b"POST", b"/a", headers, b"body", AT) == (
        b"2:v1,10:1767225600,4:POST,2:/a,16:application/json,"
        b"19:x-aws-sqsd-attr-a-b,1:1,16:x-aws-sqsd-queue,4:work,4:body,"
    )


requests = st.tuples(
    st.binary(max_size=8),
    st.binary(max_size=8),
    st.lists(
        st.tuples(
            st.sampled_from([b"x-aws-sqsd-a", b"x-aws-sqsd-b", b"content-type"]),
            st.binary(max_size=8),
        ),
        max_size=3,
        unique_by=lambda header: header[0],
    ).map(sorted),
    st.binary(max_size=8),
    st.integers(0, 9),
)


def _meaning(request: Any) -> Any:
    """A request without what HTTP takes for the same: no content type, and an empty one."""
    method, target, headers, body, at = request
    return method, target, [h for h in headers if h != (b"content-type", b"")], body, at


@given(one=requests, other=requests)
def test_no_two_requests_have_one_signed_text(one: Any, other: Any) -> None:
    same = _meaning(one) == _meaning(other)
    assert (signed_text(*one) == signed_text(*other)) == same


def test_what_was_one_text_for_two_requests_is_two() -> None:
    # joined by dots, these two were the same: 1767225600.POST./a.b.c
    first = signed_request(
        KEY, body="c", at=AT, options=SqsdOptions(http_path="/a.b", mime_type="text/plain")
    )
    second = signed_request(
        KEY, body="b.c", at=AT, options=SqsdOptions(http_path="/a", mime_type="text/plain")
    )
    assert signature_of(first) != signature_of(second)


def test_each_key_adds_a_signature_and_the_time_is_once() -> None:
    one, other = (signature_of(signed_request(key, at=AT)) for key in (KEY, OTHER_KEY))
    both = signature_of(signed_request(KEY, OTHER_KEY, at=AT))
    assert re.fullmatch(r"t=1767225600,v1=[0-9a-f]{64}", one)
    assert both == f"{one},{other.partition(',')[2]}"


def test_two_attributes_of_one_name_become_one_header_and_that_is_logged() -> None:
    attributes = {"From-Account": "A", "From_account": "B"}
    request = signed_request(KEY, at=AT, attributes=attributes)
    found = [(n, v) for n, v in request.headers if n.startswith("X-Aws-Sqsd-Attr-")]
    assert found == [("X-Aws-Sqsd-Attr-From-Account", "B")]
    builder = RequestBuilder(SqsdOptions(signing_key_file="/key"), "work")
    (skipped,) = build(builder, attributes={n: text(v) for n, v in attributes.items()}).skipped
    assert "From_account replaces another in HTTP header X-Aws-Sqsd-Attr-From-Account" in skipped


@given(
    value=st.text(max_size=20),
    name=st.text(st.characters(codec="ascii"), min_size=1, max_size=20),
    body=st.text(max_size=20),
)
def test_no_attribute_makes_a_request_whose_signature_is_wrong_or_another_name(
    value: str, name: str, body: str
) -> None:
    module: dict[str, Any] = {}
    exec(VERIFIER, module)  # noqa: S102 - it is this repository's
    request = signed_request(KEY, body=body, at=AT, attributes={name: value})
    assert all(re.fullmatch(r"[A-Za-z0-9-]+", n) for n, _ in request.headers)
    assert module["is_signed"](KEY.encode(), *request, AT)

"""Any request and any lists are judged as a straightforward reading of irma.md §3.3 is.

The model below is written from that text, with strings and loops, and shares nothing with
the rules it judges.
"""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.domain.permissions import (
    Permissions,
    Requestor,
    can_request,
    can_revoke,
)
from schemas.irma import JsonObject, SessionRequest, session_request_from

Lists = tuple[str, ...]

#: JSON, looked into freely.
Json = Any

CONTEXTS: Final = {
    "disclosing": "https://irma.app/ld/request/disclosure/v2",
    "signing": "https://irma.app/ld/request/signature/v2",
    "issuing": "https://irma.app/ld/request/issuance/v2",
}
DEFAULT_HOST: Final = "irma.example:8088"
HOST_REFUSED: Final = "requestor not allowed to use the requested host"

# Few words, so that entries and ids often meet; one begins like another.
words = st.sampled_from(["a", "b", "ab"])


def joined(count: int) -> st.SearchStrategy[str]:
    """An id of so many parts."""
    return st.lists(words, min_size=count, max_size=count).map(".".join)


def wild(parts_max: int) -> st.SearchStrategy[str]:
    """An entry that ends in a star, of so many parts at most."""
    prefix = st.lists(words, max_size=parts_max - 1)
    return prefix.map(lambda parts: ".".join([*parts, "*"]))


credentials = joined(3)
#: One credential's attributes side by side in a conjunction: others are no request.
conjunctions = st.one_of(
    joined(3).map(lambda one: [one]),
    joined(4).map(lambda one: [one]),
    st.tuples(joined(3), st.lists(words, min_size=1, max_size=2, unique=True)).map(
        lambda found: [f"{found[0]}.{attribute}" for attribute in found[1]]
    ),
)
disjunctions = st.lists(conjunctions, min_size=1, max_size=3)
attribute_lists = st.lists(joined(4) | wild(4), max_size=3).map(tuple)
credential_lists = st.lists(joined(3) | wild(3), max_size=3).map(tuple)
host_texts = st.text("ab.:8*/", max_size=8)
hosts = st.sampled_from([DEFAULT_HOST, "a.b", "ab", ""]) | host_texts
host_terms = st.sampled_from([*"ab.:8*?/", "[ab]", "[^a]", "[.-:]", "\\*"])
host_patterns = st.lists(host_terms, min_size=1, max_size=6).map("".join)
host_lists = st.lists(st.just(DEFAULT_HOST) | host_patterns, max_size=3).map(tuple)


@st.composite
def requests(draw: st.DrawFn) -> SessionRequest:
    """A request of any kind that a server would parse."""
    kind = draw(st.sampled_from(sorted(CONTEXTS)))
    disclose = draw(st.lists(disjunctions, min_size=kind != "issuing", max_size=3))
    fields: Json = {"@context": CONTEXTS[kind], "disclose": disclose}
    if kind == "signing":
        fields["message"] = "I agree"
    if kind == "issuing":
        issued = draw(st.lists(credentials, min_size=1, max_size=2))
        fields["credentials"] = [{"credential": name} for name in issued]
    host = draw(st.none() | hosts)
    if host is not None:
        fields["host"] = host
    return session_request_from(fields)


@st.composite
def rules(draw: st.DrawFn) -> tuple[Requestor, Permissions]:
    """A requestor with lists of its own, and those of everyone."""
    requestor = Requestor(
        name="r",
        key="r",
        disclose_perms=draw(attribute_lists),
        sign_perms=draw(attribute_lists),
        issue_perms=draw(credential_lists),
        revoke_perms=draw(credential_lists),
        host_perms=draw(host_lists),
    )
    permissions = Permissions(
        disclose_perms=draw(attribute_lists),
        sign_perms=draw(attribute_lists),
        issue_perms=draw(credential_lists),
        revoke_perms=draw(credential_lists),
    )
    return requestor, permissions


# ------------------------------------------------------------------------- model


def permits(entries: Lists, wanted: str) -> bool:
    """Whether one of the entries is the id, or a beginning of it that ends in a star."""
    scheme, issuer = wanted.split(".")[:2]
    for entry in entries:
        if entry in {"*", f"{scheme}.*", f"{scheme}.{issuer}.*", wanted}:
            return True
    return False


def permits_attribute(entries: Lists, wanted: str) -> bool:
    """As `permits`, with the credential's star, for the credential itself too."""
    of_credential = ".".join(wanted.split(".")[:3]) + ".*"
    return permits(entries, wanted) or of_credential in entries


CLASSES: Final = {"[ab]": "ab", "[.-:]": "./0123456789:", "\\*": "*"}


def fits(term: str, character: str) -> bool:
    """Whether one term means a character."""
    if term == "?":
        return character != "/"
    if term == "[^a]":
        return character != "a"
    return character in CLASSES.get(term, term)


def glob(pattern: str, text: str) -> bool:
    """Whether a pattern fits: what stands between stars, wherever it fits first."""
    chunks: list[list[str]] = [[]]
    while pattern:
        term = next((one for one in ("[^a]", *CLASSES) if pattern.startswith(one)), "")
        term = term or pattern[0]
        pattern = pattern[len(term) :]
        if term == "*":
            chunks.append([])
        else:
            chunks[-1].append(term)
    at = 0
    for number, chunk in enumerate(chunks):
        rest = text[at:]
        reach = len(rest.split("/")[0]) if number else 0
        ends = number == len(chunks) - 1
        if not chunk and number and not ends:
            continue
        for skipped in range(reach + 1):
            met = rest[skipped : skipped + len(chunk)]
            whole = len(met) == len(chunk) and all(map(fits, chunk, met))
            if whole and not (ends and skipped + len(chunk) < len(rest)):
                at += skipped + len(chunk)
                break
        else:
            return False
    return True


def model(requestor: Requestor, everyone: Permissions, wanted: Json) -> str | None:
    """The reason of the first step of §3.3 that fails, or None."""
    for step in (step_1, step_2, step_3):
        reason = step(requestor, everyone, wanted)
        if reason is not None:
            return reason
    return None


def step_1(requestor: Requestor, everyone: Permissions, wanted: Json) -> str | None:
    """What is to be issued."""
    if wanted["@context"] != CONTEXTS["issuing"]:
        return None
    entries = requestor.issue_perms + everyone.issue_perms
    if len(entries) == 0:
        return "No issuer permissions configured"
    for credential in wanted["credentials"]:
        name = credential["credential"]
        if not permits(entries, name):
            return f"No issuer permissions configured for credential '{name}'"
    return None


def step_2(requestor: Requestor, everyone: Permissions, wanted: Json) -> str | None:
    """What is to be disclosed: every attribute of every alternative."""
    if not wanted.get("disclose"):
        return None
    entries = requestor.disclose_perms + everyone.disclose_perms
    if wanted["@context"] == CONTEXTS["signing"]:
        entries = requestor.sign_perms + everyone.sign_perms
    if len(entries) == 0:
        return ""
    for disjunction in wanted["disclose"]:
        for conjunction in disjunction:
            for attribute in conjunction:
                if not permits_attribute(entries, attribute):
                    return str(attribute)
    return None


def step_3(requestor: Requestor, _: Permissions, wanted: Json) -> str | None:
    """Where the session is to be."""
    host = wanted.get("host") or DEFAULT_HOST
    if len(requestor.host_perms) == 0:
        return None if host == DEFAULT_HOST else HOST_REFUSED
    for pattern in requestor.host_perms:
        if glob(pattern, host):
            return None
    return HOST_REFUSED


# ------------------------------------------------------------------------- tests


@given(rules(), requests())
@pytest.mark.trap("T16", "T17", "T18")
def test_requests_are_judged_as_by_the_model(
    given_rules: tuple[Requestor, Permissions], request_: SessionRequest
) -> None:
    """Permitted or not, and for the same reason."""
    requestor, everyone = given_rules
    wire = request_.to_wire()["request"]
    assert isinstance(wire, dict)
    refusal = can_request(
        requestor, request_, permissions=everyone, default_host=DEFAULT_HOST
    )
    assert (refusal and refusal.reason) == model(requestor, everyone, wire)


@given(rules(), credentials)
def test_revocations_are_judged_as_by_the_model(
    given_rules: tuple[Requestor, Permissions], credential: str
) -> None:
    """As issuing is, by lists of their own."""
    requestor, everyone = given_rules
    entries = requestor.revoke_perms + everyone.revoke_perms
    refusal = can_revoke(requestor, credential, permissions=everyone)
    assert (refusal is None) == permits(entries, credential)


@given(hosts, host_lists)
@example("a.b", ("*",))
@example("a/b", ("*",))
@example("aXb", ("a.b",))
@example("a/b", ("*[^a]*b",))
@example("a*", ("a\\*",))
@pytest.mark.trap("T18")
def test_hosts_are_judged_as_by_the_model(host: str, patterns: Lists) -> None:
    """Any host, the default one included, and any patterns."""
    requestor = Requestor(name="r", key="r", host_perms=patterns)
    fields: JsonObject = {
        "@context": CONTEXTS["disclosing"],
        "disclose": [[["a.b.c.d"]]],
        "host": host,
    }
    refusal = can_request(
        requestor,
        session_request_from(fields),
        permissions=Permissions(),
        default_host=DEFAULT_HOST,
    )
    assert (refusal and refusal.reason) == model(requestor, Permissions(), fields)

"""The envelope: what opens, what does not, and what it tells about itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from orchestrator.domain.errors import (
    NotConfigured,
    SealBroken,
    SealExpired,
    SealKeyUnknown,
)
from orchestrator.sealing import Sealer, key_in, keys_in, new_key, read_key
from orchestrator.telemetry.redaction import scrubbed
from schemas.capabilities import Capability
from schemas.irma import parse_session_request, parse_session_result
from schemas.messages import CallbackSecrets, End, EndWork, dump

KEY = bytes(range(32))
HASH_KEY = bytes(range(100, 132))
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SEALER = Sealer(KEY, "k1", HASH_KEY)


class Other(BaseModel):
    """A model that nothing else looks like."""

    something: int


def capability(expires_at: datetime = NOW + timedelta(hours=1)) -> Capability:
    """A capability as the gateway makes it."""
    return Capability(
        kind="bridge",
        chain_id="01J00000000000000000000000",
        step=3,
        generation=0,
        requestor="acme",
        validity_s=120,
        expires_at=int(expires_at.timestamp()),
        target="https://endpoint.example/next?x=1",
    )


@given(st.binary(max_size=300), st.text(max_size=40))
def test_opens_what_it_sealed(plain: bytes, bound_to: str) -> None:
    """Any bytes, the empty ones too, come back under the same binding."""
    assert SEALER.open(SEALER.seal(plain, bound_to=bound_to), bound_to=bound_to) == plain


def test_form_is_version_key_id_and_base64url() -> None:
    """The envelope names its version and key and needs no escaping anywhere."""
    sealed = SEALER.seal(b"marker", bound_to="x")
    assert re.fullmatch(r"v1\.k1\.[A-Za-z0-9_-]+", sealed)
    assert "marker" not in sealed


def test_same_secret_looks_different_each_time() -> None:
    """Two envelopes of one secret cannot be told to hold the same."""
    assert SEALER.seal(b"x", bound_to="a") != SEALER.seal(b"x", bound_to="a")


def test_other_binding_does_not_open() -> None:
    """A sealed value that was moved to another place is refused."""
    sealed = SEALER.seal(b"x", bound_to="row:1-result")
    with pytest.raises(SealBroken, match="another place"):
        SEALER.open(sealed, bound_to="row:2-result")


def test_same_key_id_with_another_key_does_not_open() -> None:
    """A key is known by its bytes, not by its name alone."""
    sealed = Sealer(bytes(32), "k1", HASH_KEY).seal(b"x", bound_to="a")
    with pytest.raises(SealBroken, match="another place"):
        SEALER.open(sealed, bound_to="a")


def test_unknown_key_id_is_held_until_the_key_is_there() -> None:
    """It may be a newer key that this process does not have yet: no attempt is spent."""
    sealed = Sealer(KEY, "secret-0", HASH_KEY).seal(b"", bound_to="a")
    with pytest.raises(SealKeyUnknown) as caught:
        SEALER.open(sealed, bound_to="a")
    assert caught.value.held
    assert "secret-0" not in str(caught.value)


def test_every_kind_of_seal_may_be_of_an_unknown_key() -> None:
    """Models and capabilities wait for their key as plain bytes do."""
    newer = Sealer(KEY, "k2", HASH_KEY)
    with pytest.raises(SealKeyUnknown):
        SEALER.open_model(
            Other, newer.seal_model(Other(something=1), bound_to="a"), bound_to="a"
        )
    with pytest.raises(SealKeyUnknown):
        SEALER.open_capability(newer.seal_capability(capability()), now=NOW)


def test_renaming_the_key_breaks_the_seal() -> None:
    """The key id is authenticated: nothing can be passed off as another key's."""
    other = Sealer(KEY, "k0", HASH_KEY).seal(b"x", bound_to="a")
    with pytest.raises(SealBroken, match="another place"):
        SEALER.open(other.replace("v1.k0.", "v1.k1."), bound_to="a")


def test_any_changed_character_breaks_the_seal() -> None:
    """Each envelope has one spelling: no character can be changed unnoticed."""
    sealed = SEALER.seal(b"some secret", bound_to="a")
    for at, char in enumerate(sealed):
        changed = sealed[:at] + ("A" if char != "A" else "B") + sealed[at + 1 :]
        renamed = re.match(r"v1\.(?!k1)\w{2}\.", changed)
        with pytest.raises(SealKeyUnknown if renamed else SealBroken):
            SEALER.open(changed, bound_to="a")


@pytest.mark.parametrize("length", [4, 5, 6])
def test_unused_bits_are_not_ignored(length: int) -> None:
    """Base64 leaves bits over at the end; they cannot be changed unnoticed either."""
    sealed = SEALER.seal(bytes(length), bound_to="a")
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for letter in set(letters) - {sealed[-1]}:
        with pytest.raises(SealBroken):
            SEALER.open(sealed[:-1] + letter, bound_to="a")


@pytest.mark.parametrize(
    "sealed",
    [
        "",
        "v1",
        "v1.k1",
        "v1.k1.",
        "v1..AAAA",
        "v2.k1.AAAA",
        "v1.k1.AAAA",
        "v1.k1.AAAAA",
        "v1.k1.A+A/",
        "v1.k1.AAAA=",
        "v1.k1.x.AAAA",
        "v1.k1.é",
        "\x00",
        "v1.k0.AAAA",
        "v1.k0.AAAAA",
        "v1.k0." + "+" * 40,
        "v1.k0." + "A" * 37 + "B",
        "v1.k+." + "A" * 40,
        "v1.." + "A" * 40,
        f"v1.{'k' * 33}." + "A" * 40,
    ],
)
def test_malformed_envelopes_are_refused(sealed: str) -> None:
    """Whatever is no envelope, of whichever key, is refused and not repeated."""
    with pytest.raises(SealBroken) as refusal:
        SEALER.open(sealed, bound_to="a")
    assert str(refusal.value) == "malformed seal"


@given(st.text(max_size=80))
def test_no_text_raises_anything_else(text: str) -> None:
    """Any text is either refused as a broken seal or was sealed by us."""
    with pytest.raises(SealBroken):
        SEALER.open(text, bound_to="a")


def test_refusals_hide_the_content() -> None:
    """Neither the secret nor its JSON error is in the text or the cause of a refusal."""
    secrets = CallbackSecrets(result={"a": "MARKER"}, token="MARKER", url="MARKER")
    sealed = SEALER.seal_model(secrets, bound_to="a")
    with pytest.raises(SealBroken, match="no Other") as refusal:
        SEALER.open_model(Other, sealed, bound_to="a")
    assert "MARKER" not in repr(refusal.value)
    assert refusal.value.__cause__ is None


def test_models_come_back_equal() -> None:
    """Models with aliases, unknown fields and enums survive the envelope."""
    request = parse_session_request(
        '{"nextSession":{"url":"https://e.example/n"},"request":{'
        '"@context":"https://irma.app/ld/request/disclosure/v2",'
        '"disclose":[[["a.b.c.d"]]],"unknown":{"x":[1]}}}'
    )
    result = parse_session_result(
        '{"token":"Ht5cJ0pWq7ZbXk2mNv8R","status":"CONNECTED","type":"disclosing",'
        '"proofStatus":"VALID","disclosed":[[{"rawvalue":null,"value":null,'
        '"id":"a.b.c.d","status":"NULL","issuancetime":1}],[],null],"new":1}'
    )
    for model in (request, result, capability()):
        sealed = SEALER.seal_model(model, bound_to="a")
        assert SEALER.open_model(type(model), sealed, bound_to="a") == model


def test_capability_fits_into_a_url() -> None:
    """A capability's token needs no escaping in a path and comes back the same."""
    token = SEALER.seal_capability(capability())
    assert re.fullmatch(r"[A-Za-z0-9._-]+", token)
    assert SEALER.open_capability(token, now=NOW) == capability()


def test_capability_expires() -> None:
    """From the second it expires on, a capability is worth nothing."""
    token = SEALER.seal_capability(capability(NOW))
    SEALER.open_capability(token, now=NOW - timedelta(seconds=1))
    with pytest.raises(SealExpired, match="expired"):
        SEALER.open_capability(token, now=NOW)


def test_other_seals_are_no_capabilities() -> None:
    """A sealed message cannot be used as a capability URL, even with the same content."""
    sealed = SEALER.seal_model(capability(), bound_to="row:x")
    with pytest.raises(SealBroken):
        SEALER.open_capability(sealed, now=NOW)


def test_hashes_are_keyed_stable_and_separate() -> None:
    """A hash depends on the hash key and the purpose only, not on the sealing key."""
    renewed = Sealer(bytes(32), "k2", HASH_KEY)
    assert SEALER.token_hash("t") == renewed.token_hash("t")
    assert SEALER.token_hash("t") != SEALER.digest(b"t")
    assert SEALER.token_hash("t") != Sealer(KEY, "k1", bytes(32)).token_hash("t")
    assert re.fullmatch("[0-9a-f]{64}", SEALER.digest(b""))


def test_a_page_token_names_its_chain() -> None:
    """It is derived: the same each time, whatever key encrypts, and fit for a URL."""
    renewed = Sealer(bytes(32), "k2", HASH_KEY)
    token = SEALER.page_token("01KAMFX5EBQGYR8Q0JV6YQKZ8M")
    assert token == renewed.page_token("01KAMFX5EBQGYR8Q0JV6YQKZ8M")
    assert re.fullmatch(r"[A-Za-z0-9._-]{64}", token)
    assert SEALER.open_page(token) == "01KAMFX5EBQGYR8Q0JV6YQKZ8M"
    assert scrubbed(f"at {token}!") == "at [sealed]!"


def test_page_tokens_stay_what_they_are() -> None:
    """Addresses that users have kept open work with every later version."""
    assert SEALER.page_token("01C") == "v1.page.MDFD4Pbv0S5_5cAjG-G8nEuriw"


@pytest.mark.parametrize(
    "forge",
    [
        lambda _: "",
        lambda _: "x",
        lambda _: "v1.page.",
        lambda _: "v1.page.AAAA",
        lambda _: "v1.page." + "A" * 56,
        lambda _: "v1.page.____",
        lambda token: token[:-1],
        lambda token: token + "A",
        lambda token: token + "=",
        lambda token: token.removeprefix("v1.page."),
        lambda token: token.replace("page", "k1"),
        lambda token: token[:12] + ("A" if token[12] != "A" else "B") + token[13:],
        lambda token: token[:-3] + ("A" if token[-3] != "A" else "B") + token[-2:],
        lambda _: Sealer(KEY, "k1", bytes(32)).page_token("01C"),
        lambda _: SEALER.seal(b"01C", bound_to="page"),
    ],
)
def test_page_tokens_cannot_be_made_up(forge: Callable[[str], str]) -> None:
    """Neither guessed nor changed into another chain's."""
    with pytest.raises(SealBroken, match="page token"):
        SEALER.open_page(forge(SEALER.page_token("01C")))


def test_hashes_stay_what_they_are() -> None:
    """Stored hashes must be found again by every later version."""
    assert SEALER.token_hash("Ht5cJ0pWq7ZbXk2mNv8R") == (
        "01bef47b35e6bb8e573e90d39982915dd982e71f79e86799b941404d64a4e1b2"
    )
    assert SEALER.digest(b"{}") == (
        "b2a92bfaacf2304cfe9f50ae2332c02c546491967bc7627eaf2e50e23395f9bb"
    )


def test_stored_envelopes_stay_readable() -> None:
    """What an earlier version sealed is opened by every later one."""
    sealed = "v1.k1.KSD49wcKsGSjykn4DtXXlC0HZQ8iiYi2zui3rT3kRjE"
    assert SEALER.open(sealed, bound_to="row:x") == b"kept"


def test_new_keys_are_read_back() -> None:
    """A new key is 32 bytes, never the same twice, with or without padding."""
    first, second = new_key(), new_key()
    assert first != second
    assert len(read_key(first)) == 32
    assert read_key(f" {first}=\n") == read_key(first)


@pytest.mark.parametrize(
    "text,why",
    [
        ("", "this one is 0 bytes"),
        ("AAAA", "this one is 3 bytes"),
        ("not base64!", "base64url"),
        ("A" * 44, "this one is 33 bytes"),
        ("'" + "A" * 43 + "'", "without quotes"),
    ],
)
def test_bad_key_texts_are_explained(text: str, why: str) -> None:
    """A key that cannot be used is refused with what is wrong, never with its text."""
    with pytest.raises(NotConfigured, match=why) as refusal:
        read_key(text)
    assert not text or text not in str(refusal.value)


@pytest.mark.parametrize(
    "key,key_id,hash_key,why",
    [
        (bytes(16), "k1", HASH_KEY, "32 bytes, not 16"),
        (KEY, "k1", bytes(31), "at least 32 bytes, not 31"),
        (KEY, "k1", KEY, "must differ"),
        (KEY, "k.1", HASH_KEY, "key id"),
        (KEY, "", HASH_KEY, "key id"),
    ],
)
def test_unfit_keys_are_refused(
    key: bytes, key_id: str, hash_key: bytes, why: str
) -> None:
    """A sealer is not made of keys that could not do their work."""
    with pytest.raises(NotConfigured, match=why):
        Sealer(key, key_id, hash_key)


OLD = bytes(range(50, 82))
ROTATED = Sealer(KEY, "k1", HASH_KEY, {"k0": OLD, "k2": bytes(32)})


def test_older_keys_open_and_do_not_seal() -> None:
    """What any of them has sealed opens; what is sealed anew names the current one."""
    for key_id, key in {"k0": OLD, "k1": KEY, "k2": bytes(32)}.items():
        theirs = Sealer(key, key_id, HASH_KEY)
        assert ROTATED.open(theirs.seal(b"x", bound_to="a"), bound_to="a") == b"x"
        token = theirs.seal_capability(capability())
        assert ROTATED.open_capability(token, now=NOW) == capability()
    assert key_in(ROTATED.seal(b"x", bound_to="a")) == ROTATED.key_id == "k1"


def test_each_key_opens_its_own_only() -> None:
    """An envelope that names another key than the one that made it stays shut."""
    theirs = Sealer(OLD, "k0", HASH_KEY).seal(b"x", bound_to="a")
    with pytest.raises(SealBroken, match="another place"):
        ROTATED.open(theirs.replace("v1.k0.", "v1.k2."), bound_to="a")
    with pytest.raises(SealKeyUnknown):
        ROTATED.open(theirs.replace("v1.k0.", "v1.k3."), bound_to="a")


def test_a_secret_can_be_sealed_anew() -> None:
    """For the same place, with the key that seals; what that has sealed stays."""
    theirs = Sealer(OLD, "k0", HASH_KEY).seal(b"x", bound_to="a")
    ours = ROTATED.resealed(theirs, bound_to="a")
    assert key_in(ours) == "k1"
    assert ROTATED.open(ours, bound_to="a") == b"x"
    assert ROTATED.resealed(ours, bound_to="a") == ours
    with pytest.raises(SealBroken):
        ROTATED.resealed(theirs, bound_to="b")


def test_a_message_names_the_key_of_its_sealed_part() -> None:
    """What stands in its open part is no envelope, whatever it looks like."""
    work = EndWork(
        id="w1",
        chain_id="C1",
        step=1,
        generation=0,
        requestor='"sealed":"v1.k8.AAAA"',
        cause="x",
        end=End.FAILED,
        reason='\\"sealed":"v1.k9.AAAA',
        sealed=SEALER.seal(b"x", bound_to="w1"),
    )
    assert keys_in(dump(work)) == {"k1"}
    assert keys_in(b"{}") == frozenset()


@pytest.mark.parametrize(
    "older,why",
    [
        ({"k1": OLD}, "two sealing keys have the same id"),
        ({"k0": KEY}, "the same sealing key has two ids"),
        ({"k0": OLD, "k2": OLD}, "the same sealing key has two ids"),
        ({"k0": HASH_KEY}, "must differ"),
        ({"k0": bytes(16)}, "32 bytes, not 16"),
        ({"k.0": OLD}, "key id"),
    ],
)
def test_unfit_older_keys_are_refused(older: dict[str, bytes], why: str) -> None:
    """Which key opens an envelope has to be certain."""
    with pytest.raises(NotConfigured, match=why):
        Sealer(KEY, "k1", HASH_KEY, older)

"""The one envelope for secrets: `v1.<key id>.<base64url of nonce, ciphertext and tag>`.

What is sealed is bound to the place it was made for (the id of its message, the column of
its row), so it cannot be moved elsewhere (DESIGN §5).

The cipher is AES-256-GCM-SIV (RFC 8452) with random nonces of 96 bits. With plain GCM two
messages under one nonce break the key, which random nonces bring within reach after some
billions of messages; here a repeated nonce tells no more than that the same secret was
sealed twice for the same place. So a key lasts as long as the deployment wants.

One key seals; any number of others only open, so that it can be changed while what it has
sealed is still about. The key of the hashes is another one and never changes: what was
stored by a hash would not be found again.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Final, TypeVar

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from pydantic import BaseModel, ValidationError

from orchestrator.domain.errors import (
    NotConfigured,
    SealBroken,
    SealExpired,
    SealKeyUnknown,
)
from schemas.capabilities import Capability

M = TypeVar("M", bound=BaseModel)

KEY_BYTES: Final = 32

_VERSION: Final = "v1"
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_KEY_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]*")
_CAPABILITY: Final = "capability"

#: A seal in a message's JSON; no text in there can look like it, as its quotes would be
#: escaped.
_SEALED_PART: Final = re.compile(
    rb'"sealed":"' + _VERSION.encode() + rb"\.([A-Za-z0-9_-]{1,32})\."
)

#: 128 bits that nobody can guess; with a chain's ULID they make 56 characters.
_PAGE_MAC_BYTES: Final = 16
_PAGE_HEAD: Final = f"{_VERSION}.page."


def new_key() -> str:
    """A fresh key as text for the settings: 32 random bytes in base64url."""
    return _encode(os.urandom(KEY_BYTES))


def read_key(text: str) -> bytes:
    """The key that `new_key` wrote.

    Raises:
        NotConfigured: saying what is wrong with the text, without repeating it.
    """
    try:
        key = _decode(text.strip().rstrip("="))
    except ValueError:
        raise NotConfigured(
            "a key must be written in base64url, without quotes"
        ) from None
    if len(key) != KEY_BYTES:
        raise NotConfigured(
            f"a key must be {KEY_BYTES} bytes in base64url (43 characters),"
            f" this one is {len(key)} bytes"
        )
    return key


def key_in(sealed: str) -> str:
    """The id of the key that an envelope names.

    Raises:
        SealBroken: it is none.
    """
    key_id, _ = _parts(sealed)
    return key_id


def keys_in(body: bytes) -> frozenset[str]:
    """The ids of the keys that a message's sealed part names; most have none or one."""
    return frozenset(found.decode() for found in _SEALED_PART.findall(body))


class Sealer:
    """Seals and opens secrets, and hashes tokens.

    Args:
        key: 32 bytes that encrypt.
        key_id: its name, written into each envelope so that keys can be rotated.
        hash_key: at least 32 other bytes, for the keyed hashes; these are looked up in
            the store and so outlive every encryption key (DESIGN §5).
        older: keys by their ids that open and do not seal.

    Raises:
        NotConfigured: a key is too short, two are the same, two have the same id, or an
            id is not 1 to 32 letters, digits, `-` and `_`.
    """

    def __init__(
        self,
        key: bytes,
        key_id: str,
        hash_key: bytes,
        older: Mapping[str, bytes] | None = None,
    ) -> None:
        if older is not None and key_id in older:
            raise NotConfigured("two sealing keys have the same id")
        keys = {key_id: key, **(older or {})}
        _check(keys, hash_key)
        try:
            self._ciphers = {name: AESGCMSIV(one) for name, one in keys.items()}
        except UnsupportedAlgorithm:
            raise NotConfigured("AES-GCM-SIV needs OpenSSL 3.2 or newer") from None
        self._key_id = key_id
        # Kept ready: `hmac.digest` begins anew each time, and lets other threads in.
        self._token_mac = hmac.new(_derived(hash_key, "token"), digestmod=sha256)
        self._digest_key = _derived(hash_key, "digest")
        self._page_key = _derived(hash_key, "page")

    @property
    def key_id(self) -> str:
        """The id of the key that seals."""
        return self._key_id

    def seal(self, plain: bytes, *, bound_to: str) -> str:
        """Seal bytes so that they open only under the same binding."""
        nonce = os.urandom(_NONCE_BYTES)
        head = _head(self._key_id)
        sealed = self._ciphers[self._key_id].encrypt(nonce, plain, _bound(head, bound_to))
        return f"{head}.{_encode(nonce + sealed)}"

    def open(self, sealed: str, *, bound_to: str) -> bytes:
        """Open what `seal` made for this binding.

        Raises:
            SealKeyUnknown: well-formed, but sealed with a key that is not here.
            SealBroken: malformed, for another place, or changed.
        """
        key_id, data = _parts(sealed)
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise SealKeyUnknown("sealed with a key that is not here")
        nonce, content = data[:_NONCE_BYTES], data[_NONCE_BYTES:]
        try:
            return cipher.decrypt(nonce, content, _bound(_head(key_id), bound_to))
        except InvalidTag:
            raise SealBroken("sealed for another place, or changed") from None

    def resealed(self, sealed: str, *, bound_to: str) -> str:
        """The same secret for the same place, sealed with the key that seals now.

        Raises:
            SealKeyUnknown: as `open`.
            SealBroken: as `open`.
        """
        if key_in(sealed) == self._key_id:
            return sealed
        return self.seal(self.open(sealed, bound_to=bound_to), bound_to=bound_to)

    def seal_model(self, model: BaseModel, *, bound_to: str) -> str:
        """Seal a model as JSON."""
        return self.seal(model.model_dump_json(by_alias=True).encode(), bound_to=bound_to)

    def open_model(self, cls: type[M], sealed: str, *, bound_to: str) -> M:
        """Open what `seal_model` made of a model of this class.

        Raises:
            SealKeyUnknown: as `open`.
            SealBroken: as `open`, or the content is no such model.
        """
        plain = self.open(sealed, bound_to=bound_to)
        try:
            return cls.model_validate_json(plain)
        except ValidationError:
            raise SealBroken(f"the sealed content is no {cls.__name__}") from None

    def seal_capability(self, capability: Capability) -> str:
        """The capability as a URL's token, in unreserved characters (RFC 3986 §2.3)."""
        return self.seal_model(capability, bound_to=_CAPABILITY)

    def open_capability(self, token: str, *, now: datetime) -> Capability:
        """The capability in a URL's token; which kind fits the address is the caller's.

        Raises:
            SealKeyUnknown: as `open`.
            SealBroken: as `open_model`.
            SealExpired: it is ours, but its time is over.
        """
        capability = self.open_model(Capability, token, bound_to=_CAPABILITY)
        if capability.expires_at <= now.timestamp():
            raise SealExpired("the capability has expired")
        return capability

    def page_token(self, chain_id: str) -> str:
        """The token of a chain's page: the same each time, so no row has to hold it.

        It has the looks of an envelope, so whoever masks those in texts masks it too.
        """
        named = chain_id.encode()
        return _PAGE_HEAD + _encode(named + self._page_mac(named))

    def open_page(self, token: str) -> str:
        """The id of the chain whose page has this token.

        Raises:
            SealBroken: it is not one of ours.
        """
        try:
            data = _decode(token.removeprefix(_PAGE_HEAD))
            named, mac = data[:-_PAGE_MAC_BYTES], data[-_PAGE_MAC_BYTES:]
            chain_id = named.decode()
        except ValueError:
            raise SealBroken("malformed page token") from None
        ours = hmac.compare_digest(mac, self._page_mac(named))
        if not (ours and token.startswith(_PAGE_HEAD)):
            raise SealBroken("no page token of ours")
        return chain_id

    def token_hash(self, token: str) -> str:
        """The keyed hash by which a token is looked up."""
        mac = self._token_mac.copy()
        mac.update(token.encode())
        return mac.hexdigest()

    def digest(self, data: bytes) -> str:
        """The keyed hash that tells whether two contents are the same."""
        return hmac.digest(self._digest_key, data, sha256).hex()

    def _page_mac(self, named: bytes) -> bytes:
        return hmac.digest(self._page_key, named, sha256)[:_PAGE_MAC_BYTES]


def _head(key_id: str) -> str:
    return f"{_VERSION}.{key_id}"


def _bound(head: str, bound_to: str) -> bytes:
    """Associated data; version and key id have no dots, so parts cannot shift."""
    return f"{head}.{bound_to}".encode()


def _check(keys: Mapping[str, bytes], hash_key: bytes) -> None:
    for key_id, key in keys.items():
        if len(key) != KEY_BYTES:
            raise NotConfigured(
                f"the sealing key must be {KEY_BYTES} bytes, not {len(key)}"
            )
        if hmac.compare_digest(key, hash_key):
            raise NotConfigured("the sealing key and the hash key must differ")
        if not _KEY_ID.fullmatch(key_id):
            raise NotConfigured("a key id is 1 to 32 letters, digits, '-' and '_'")
    if len(hash_key) < KEY_BYTES:
        raise NotConfigured(
            f"the hash key must be at least {KEY_BYTES} bytes, not {len(hash_key)}"
        )
    if len(set(keys.values())) < len(keys):
        raise NotConfigured("the same sealing key has two ids")


def _parts(sealed: str) -> tuple[str, bytes]:
    """Key id and content of an envelope that looks whole.

    Raises:
        SealBroken: it does not, so no key would open it.
    """
    match sealed.split("."):
        case [version, key_id, text] if version == _VERSION and _KEY_ID.fullmatch(key_id):
            try:
                data = _decode(text)
            except ValueError:
                raise SealBroken("malformed seal") from None
            if len(data) >= _NONCE_BYTES + _TAG_BYTES:
                return key_id, data
    raise SealBroken("malformed seal")


def _derived(key: bytes, purpose: str) -> bytes:
    """A key of its own for each purpose, so that hashes of one say nothing of another."""
    return hmac.digest(key, f"session-chain-orchestrator:{purpose}".encode(), sha256)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    """Decode base64url without padding; each value has exactly one spelling.

    Raises:
        ValueError: other characters, a wrong length, or bits left over.
    """
    if not _BASE64URL.fullmatch(text):
        raise ValueError("not base64url")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise ValueError("not base64url") from None
    last = len(data) - len(data) % 3
    if not text.endswith(_encode(data[last:])):
        raise ValueError("not the canonical spelling")
    return data

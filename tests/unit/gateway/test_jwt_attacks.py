"""What an attacker sends in place of a request JWT; all of it is refused, nothing starts.

The attacker knows everything but the keys: names, public keys, old JWTs, the code. Each
attack is a function, told by its docstring; each is a test of its own.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import FastAPI
from pydantic import JsonValue

from orchestrator.domain.permissions import Permissions, Requestor
from orchestrator.domain.requestors import Requestors
from orchestrator.gateway.authentication import Authenticator
from orchestrator.gateway.request_jwts import HEADER_CHARS_MAX, RequestKey
from schemas.irma import JsonObject
from tests.support import jwts
from tests.support.asgi import call
from tests.support.jwts import Jwt, by_rsa, by_secret, encoded
from tests.support.samples import DISCLOSURE, FULLNAME, ISSUANCE, MEMBER, NOW, SECRET
from tests.support.workshop import Workshop

TEXT: Final = {"Content-Type": "text/plain"}
NOW_S: Final = int(NOW.timestamp())
PLAIN: Final[JsonObject] = {"@context": DISCLOSURE, "disclose": [[[FULLNAME]]]}


@dataclass(frozen=True)
class Sent:
    """What the attacker sends."""

    body: str | bytes
    headers: dict[str, str] = dataclasses.field(default_factory=lambda: dict(TEXT))


Attack = Callable[[], Sent | str]

ATTACKS: Final[list[Attack]] = []


def attack(made: Attack) -> Attack:
    """Add one to the corpus."""
    ATTACKS.append(made)
    return made


def claims(**other: JsonValue) -> JsonObject:
    """What the shop, whose RSA key we know, would rightly claim."""
    return {
        "iss": "shop",
        "iat": NOW_S,
        "sub": "verification_request",
        "sprequest": {"request": PLAIN},
        **other,
    }


def of_bank(**other: JsonValue) -> JsonObject:
    """What the bank, with which we share a secret, would rightly claim."""
    return claims(iss="bank", **other)


def without(name: str) -> JsonObject:
    """The shop's claims less one."""
    return {key: value for key, value in claims().items() if key != name}


def unsigned(alg: JsonValue, signature: str = "") -> str:
    """A JWT that nobody has signed."""
    return f"{encoded({'alg': alg, 'typ': 'JWT'})}.{encoded(claims())}.{signature}"


def with_secret(secret: bytes, fields: JsonObject | None = None) -> str:
    """The shop's claims, signed by HMAC with what everybody may know."""
    return by_secret(fields or claims(), secret)


def signed_by_shop(fields: JsonObject | bytes, **header: JsonValue) -> str:
    """What the shop has signed, for what is wrong with its content."""
    return by_rsa(fields, owner="shop", **header)


def by_thief(**header: JsonValue) -> str:
    """The shop's claims, signed with the attacker's own key."""
    return by_rsa(claims(), owner="thief", **header)


# ------------------------------------------------------------- no signature at all


@attack
def alg_none() -> str:
    """The algorithm that verifies everything."""
    return unsigned("none")


@attack
def alg_none_in_capitals() -> str:
    """The same for a list that knows one spelling."""
    return unsigned("NONE")


@attack
def alg_none_in_mixed_case() -> str:
    """The same once more."""
    return unsigned("nOnE")


@attack
def alg_none_with_a_signature() -> str:
    """None, with something where the signature stands."""
    return unsigned("none", encoded(b"signature"))


@attack
def alg_none_for_hmac() -> str:
    """None, in the name of a requestor with a secret."""
    return f"{encoded({'alg': 'none'})}.{encoded(of_bank())}."


@attack
def alg_empty() -> str:
    """No algorithm's name."""
    return unsigned("")


@attack
def alg_missing() -> str:
    """No algorithm."""
    return f"{encoded({'typ': 'JWT'})}.{encoded(claims())}."


@attack
def alg_null() -> str:
    """An algorithm that is null."""
    return unsigned(None)


@attack
def alg_list() -> str:
    """Several algorithms to choose from."""
    return unsigned(["RS256", "none"])


@attack
def alg_in_lower_case() -> str:
    """The right algorithm by another name, with the right signature."""
    return signed_by_shop(claims(), alg="rs256")


@attack
def alg_with_a_blank() -> str:
    """The right algorithm with a blank behind it."""
    return signed_by_shop(claims(), alg="RS256 ")


@attack
def signature_cut_off() -> str:
    """A right JWT without its signature."""
    return signed_by_shop(claims()).rpartition(".")[0] + "."


@attack
def signature_shortened() -> str:
    """A right JWT with half of its signature."""
    return signed_by_shop(claims())[:-170]


@attack
def signature_of_zeros() -> str:
    """A number that verifies where nobody looks at its range."""
    return f"{signed_by_shop(claims()).rpartition('.')[0]}.{encoded(bytes(256))}"


@attack
def signature_of_one() -> str:
    """The same with the number one."""
    one = (1).to_bytes(256, "big")
    return f"{signed_by_shop(claims()).rpartition('.')[0]}.{encoded(one)}"


@attack
def claims_exchanged() -> str:
    """The signature of one JWT under the claims of another."""
    header, _, signature = signed_by_shop(claims()).split(".")
    return f"{header}.{encoded(claims(validity=1))}.{signature}"


@attack
def header_exchanged() -> str:
    """A right JWT with a `kid` put into its header."""
    _, payload, signature = signed_by_shop(claims()).split(".")
    header = encoded({"alg": "RS256", "typ": "JWT", "kid": "shop"})
    return f"{header}.{payload}.{signature}"


# ----------------------------------------------------- the algorithms confused


@attack
def hs256_with_the_public_keys_pem() -> str:
    """The public key's text as the secret of an HMAC."""
    return with_secret(jwts.public_pem(jwts.rsa_key("shop")).encode())


@attack
def hs256_with_the_pem_less_its_last_line_end() -> str:
    """The same as many a file holds it."""
    return with_secret(jwts.public_pem(jwts.rsa_key("shop")).strip().encode())


@attack
def hs256_with_the_public_keys_der() -> str:
    """The public key's bytes as the secret."""
    public = jwts.rsa_key("shop").public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return with_secret(der)


@attack
def hs256_with_the_pem_of_pkcs1() -> str:
    """The public key in its older form as the secret."""
    public = jwts.rsa_key("shop").public_key()
    return with_secret(public.public_bytes(Encoding.PEM, PublicFormat.PKCS1))


@attack
def hs256_with_the_modulus() -> str:
    """The public key's number as the secret."""
    modulus = jwts.rsa_key("shop").public_key().public_numbers().n
    return with_secret(modulus.to_bytes(256, "big"))


@attack
def hs256_with_an_empty_secret() -> str:
    """A secret that nobody has set."""
    return by_secret(of_bank(), b"")


@attack
def hs256_with_the_secret_in_base64() -> str:
    """What stands in the configuration in place of what it means."""
    return by_secret(of_bank(), encoded(jwts.SECRET).encode())


@attack
def hs256_with_the_requestors_name() -> str:
    """The secret that is guessed first."""
    return by_secret(of_bank(), b"bank")


@attack
def hs512_with_the_right_secret() -> str:
    """A stronger algorithm is another one all the same."""
    header = {"alg": "HS512"}
    return Jwt(claims=of_bank(), key=jwts.SECRET, algorithm="HS512", header=header).text


@attack
def hs384_called_hs256() -> str:
    """The header names the right algorithm, the signature is by another."""
    header = {"alg": "HS256"}
    return Jwt(claims=of_bank(), key=jwts.SECRET, algorithm="HS384", header=header).text


@attack
def ps256_with_the_right_key() -> str:
    """Another padding with the shop's own key."""
    header = {"alg": "PS256"}
    key = jwts.rsa_key("shop")
    return Jwt(claims=claims(), key=key, algorithm="PS256", header=header).text


@attack
def rs512_with_the_right_key() -> str:
    """Another hash with the shop's own key."""
    header = {"alg": "RS512"}
    key = jwts.rsa_key("shop")
    return Jwt(claims=claims(), key=key, algorithm="RS512", header=header).text


@attack
def ps256_called_rs256() -> str:
    """The header names the right algorithm, the signature is by another."""
    header = {"alg": "RS256"}
    key = jwts.rsa_key("shop")
    return Jwt(claims=claims(), key=key, algorithm="PS256", header=header).text


@attack
def rs256_header_for_an_hmac_requestor() -> str:
    """RS256 in the name of the bank, signed with the attacker's key."""
    return by_rsa(of_bank(), owner="thief")


@attack
def rs256_header_with_the_right_hmac() -> str:
    """The bank's own HMAC under a header that says RS256."""
    return by_secret(of_bank(), alg="RS256")


@attack
def hs256_header_with_the_right_rsa_signature() -> str:
    """The shop's own signature under a header that says HS256."""
    return signed_by_shop(claims(), alg="HS256")


# ----------------------------------------------------------- somebody else's name


@attack
def key_of_nobody() -> str:
    """The attacker's own key in the shop's name."""
    return by_thief()


@attack
def another_requestors_name() -> str:
    """The bank signs what the shop is said to ask for."""
    return by_secret(claims())


@attack
def another_requestors_kid() -> str:
    """The bank's secret, the bank in `iss`, the shop in `kid`."""
    return by_secret(of_bank(), kid="shop")


@attack
def own_kid_in_anothers_name_of_the_other_kind() -> str:
    """The shop signs, the bank stands in `kid`."""
    return signed_by_shop(claims(), kid="bank")


@attack
def name_of_a_token_requestor() -> str:
    """A requestor that sends a token has no key to sign with."""
    return by_secret(claims(iss="acme"), SECRET.encode())


@attack
def routing_key_for_a_name() -> str:
    """The word on the broker is no name of a requestor."""
    return signed_by_shop(claims(iss="the-shop"))


@attack
def name_in_capitals() -> str:
    """A name that differs by case is another."""
    return signed_by_shop(claims(iss="SHOP"))


@attack
def name_with_a_blank() -> str:
    """A name with something behind it is another."""
    return signed_by_shop(claims(iss="shop "))


@attack
def name_with_a_null_byte() -> str:
    """A name with an end in its middle is another."""
    return signed_by_shop(claims(iss="shop\x00"))


@attack
def name_of_nobody() -> str:
    """IRMA's requestor "" signs nothing."""
    return signed_by_shop(claims(iss=""))


@attack
def name_of_anonymous() -> str:
    """Nor does ours that stands for it."""
    return signed_by_shop(claims(iss="anonymous"))


@attack
def iss_missing() -> str:
    """A right signature in nobody's name."""
    return signed_by_shop(without("iss"))


@attack
def iss_list() -> str:
    """Several names to choose from."""
    return signed_by_shop(claims(iss=["shop", "bank"]))


@attack
def iss_number() -> str:
    """A name that is none."""
    return signed_by_shop(claims(iss=1))


@attack
def iss_twice() -> str:
    """Two names: the last one counts, and its key has to fit."""
    raw = json.dumps(claims()).encode()
    return by_secret(b'{"iss":"bank",' + raw[1:])


@attack
def iss_in_two_cases() -> str:
    """Two names that one reader tells apart and another does not."""
    return by_secret(of_bank(ISS="shop"))


# ----------------------------------------------------------------------- the kid


@attack
def kid_path() -> str:
    """A file that everybody knows as the key."""
    return with_secret_and_kid(b"", "../../../../dev/null")


@attack
def kid_absolute_path() -> str:
    """The same by its whole name."""
    return with_secret_and_kid(b"", "/dev/null")


@attack
def kid_sql() -> str:
    """A key from the attacker's own query."""
    return with_secret_and_kid(b"x", "' UNION SELECT 'x' --")


@attack
def kid_command() -> str:
    """A key from a shell."""
    return with_secret_and_kid(b"x", "|echo x")


@attack
def kid_url() -> str:
    """A key from the attacker's own server."""
    return by_thief(kid="https://thief.example/key.pem")


@attack
def kid_empty() -> str:
    """An empty `kid` beats a right `iss`."""
    return signed_by_shop(claims(), kid="")


@attack
def kid_null() -> str:
    """A `kid` that is null is no name."""
    return signed_by_shop(claims(), kid=None)


@attack
def kid_number() -> str:
    """A `kid` that is a number is no name."""
    return signed_by_shop(claims(), kid=0)


@attack
def kid_list() -> str:
    """A `kid` that is a list is no name."""
    return signed_by_shop(claims(), kid=["shop"])


@attack
def kid_object() -> str:
    """A `kid` that is an object is no name."""
    return signed_by_shop(claims(), kid={"shop": True})


@attack
def kid_true() -> str:
    """A `kid` that is a boolean is no name."""
    return signed_by_shop(claims(), kid=True)


@attack
def kid_dunder() -> str:
    """A name that objects know in some languages."""
    return signed_by_shop(claims(), kid="__proto__")


def with_secret_and_kid(secret: bytes, kid: str) -> str:
    """An HMAC with a secret that the `kid` is to lead to."""
    return by_secret(claims(), secret, kid=kid)


# ----------------------------------------------------------------- other headers


@attack
def jwk_in_the_header() -> str:
    """The attacker's own key sent along."""
    own = json.loads(
        jwt.algorithms.RSAAlgorithm.to_jwk(jwts.rsa_key("thief").public_key())
    )
    return by_thief(jwk=own)


@attack
def jku_in_the_header() -> str:
    """The attacker's own key set by its address."""
    return by_thief(jku="https://thief.example/jwks.json")


@attack
def x5u_in_the_header() -> str:
    """The attacker's own certificate by its address."""
    return by_thief(x5u="https://thief.example/cert.pem")


@attack
def x5c_in_the_header() -> str:
    """The attacker's own certificate sent along."""
    return by_thief(x5c=["MIIB"])


@attack
def crit_that_nobody_knows() -> str:
    """What has to be understood and is not (RFC 7515 §4.1.11)."""
    return signed_by_shop(claims(), crit=["exp"], exp=NOW_S)


@attack
def crit_empty() -> str:
    """An empty list of what has to be understood is malformed."""
    return signed_by_shop(claims(), crit=[])


@attack
def b64_false() -> str:
    """Claims that are not encoded, or that look so (RFC 7797)."""
    return signed_by_shop(claims(), b64=False, crit=["b64"])


@attack
def b64_false_without_crit() -> str:
    """The same, not announced."""
    return signed_by_shop(claims(), b64=False)


@attack
def header_names_twice() -> str:
    """Two algorithms: one for who checks, one for who verifies."""
    header = b'{"alg":"none","alg":"RS256"}'
    key = jwts.rsa_key("shop")
    return Jwt(claims=claims(), key=key, algorithm="RS256", header=header).text


@attack
def header_kid_twice() -> str:
    """Two names: one for who permits, one for who verifies."""
    header = b'{"alg":"RS256","kid":"bank","kid":"shop"}'
    key = jwts.rsa_key("shop")
    return Jwt(claims=claims(), key=key, algorithm="RS256", header=header).text


@attack
def header_huge() -> str:
    """A header that takes long to read, rightly signed."""
    return signed_by_shop(claims(), pad="x" * HEADER_CHARS_MAX)


@attack
def header_deep() -> str:
    """A header that overflows a parser's stack."""
    header = b'{"alg":"RS256","x":' + b"[" * 6000 + b"]" * 6000 + b"}"
    key = jwts.rsa_key("shop")
    return Jwt(claims=claims(), key=key, algorithm="RS256", header=header).text


@attack
def header_list() -> str:
    """A header that is no object."""
    header = b'["RS256"]'
    key = jwts.rsa_key("shop")
    return Jwt(claims=claims(), key=key, algorithm="RS256", header=header).text


@attack
def header_not_json() -> str:
    """A header that is nothing."""
    return f"{encoded(b'MARKER')}.{encoded(claims())}.{encoded(b'x')}"


# ------------------------------------------------------------------------ times


@attack
def expired() -> str:
    """A JWT of a minute ago that held for half of it."""
    return signed_by_shop(claims(iat=NOW_S - 60, exp=NOW_S - 30))


@attack
def expires_now() -> str:
    """Over at this very second."""
    return signed_by_shop(claims(exp=NOW_S))


@attack
def expired_in_the_year_dot() -> str:
    """A second after it."""
    return signed_by_shop(claims(exp=1))


@attack
def exp_text() -> str:
    """An end that cannot be compared."""
    return signed_by_shop(claims(exp=str(NOW_S + 60)))


@attack
def exp_infinite() -> str:
    """An end that never comes."""
    raw = json.dumps(claims(exp=float("inf"))).encode()
    return signed_by_shop(raw)


@attack
def not_yet_valid() -> str:
    """A JWT for tomorrow."""
    return signed_by_shop(claims(nbf=NOW_S + 86_400))


@attack
def from_the_future() -> str:
    """A JWT that will hold when its key is long withdrawn."""
    return signed_by_shop(claims(iat=NOW_S + 86_400))


@attack
def a_second_ahead() -> str:
    """There is no leeway (trap T13)."""
    return signed_by_shop(claims(iat=NOW_S + 1))


@attack
def used_again_after_max_age() -> str:
    """What was taken five minutes ago is not taken now."""
    return signed_by_shop(claims(iat=NOW_S - 301))


@attack
def too_old_although_not_expired() -> str:
    """A late end does not make it younger."""
    return signed_by_shop(claims(iat=NOW_S - 301, exp=NOW_S + 86_400))


@attack
def iat_missing() -> str:
    """A JWT of any time."""
    return signed_by_shop(without("iat"))


@attack
def iat_null() -> str:
    """Null is missing."""
    return signed_by_shop(claims(iat=None))


@attack
def iat_text() -> str:
    """A time as a text."""
    return signed_by_shop(claims(iat=str(NOW_S)))


@attack
def iat_fraction() -> str:
    """A time that is no integer (trap T33)."""
    return signed_by_shop(claims(iat=NOW_S - 0.5))


@attack
def iat_negative() -> str:
    """A time before all times."""
    return signed_by_shop(claims(iat=-NOW_S))


@attack
def iat_huge() -> str:
    """A time that no clock can show."""
    return signed_by_shop(claims(iat=10**30))


@attack
def iat_with_too_many_digits() -> str:
    """A number that takes long to read."""
    raw = json.dumps(claims(iat=0)).replace('"iat": 0', f'"iat": {"9" * 5000}')
    return signed_by_shop(raw.encode())


@attack
def iat_nan() -> str:
    """A number that compares with nothing."""
    return signed_by_shop(json.dumps(claims(iat=float("nan"))).encode())


@attack
def iat_true() -> str:
    """A boolean that counts as one."""
    return signed_by_shop(claims(iat=True))


@attack
def iat_list() -> str:
    """Several times to choose from."""
    return signed_by_shop(claims(iat=[NOW_S]))


# ------------------------------------------------------------------- the request


@attack
def plain_request_in_a_jwt() -> str:
    """The plain form is no request here (trap T34)."""
    return signed_by_shop(claims(sprequest=PLAIN))


@attack
def plain_request_for_claims() -> str:
    """The request itself in place of claims."""
    return signed_by_shop({"iss": "shop", "iat": NOW_S, **PLAIN})


@attack
def extended_request_for_claims() -> str:
    """The extended request in place of claims."""
    return signed_by_shop({"iss": "shop", "iat": NOW_S, "request": PLAIN})


@attack
def claim_missing() -> str:
    """A subject without what it announces, on which an IRMA server panics."""
    return signed_by_shop(without("sprequest"))


@attack
def claim_null() -> str:
    """The same with a null."""
    return signed_by_shop(claims(sprequest=None))


@attack
def claim_text() -> str:
    """The request as a text."""
    return signed_by_shop(claims(sprequest=json.dumps({"request": PLAIN})))


@attack
def sub_unknown() -> str:
    """A kind of session that is none."""
    return signed_by_shop(claims(sub="foo"))


@attack
def sub_missing() -> str:
    """No kind of session."""
    return signed_by_shop(without("sub"))


@attack
def sub_list() -> str:
    """Several kinds to choose from."""
    return signed_by_shop(claims(sub=["verification_request"]))


@attack
def sub_and_claim_disagree() -> str:
    """Issuing by its subject, disclosing by its claim."""
    return signed_by_shop(claims(sub="issue_request"))


@attack
def claim_and_context_disagree() -> str:
    """Disclosing by subject and claim, issuing by its context."""
    issue: JsonObject = {"@context": ISSUANCE, "credentials": [{"credential": MEMBER}]}
    return signed_by_shop(claims(sprequest={"request": issue}))


@attack
def result_jwt_for_a_request() -> str:
    """A result that we have signed is no request."""
    return signed_by_shop(claims(sub="disclosing_result"))


@attack
def revocation_for_a_session() -> str:
    """What may be revoked with is not what may be started with."""
    return signed_by_shop(
        claims(sub="revocation_request", sprequest=None, revrequest={"type": MEMBER})
    )


# ---------------------------------------------------------------------- the form


@attack
def nested_jwt() -> str:
    """A JWT in a JWT (RFC 7519 §5.2)."""
    inner = signed_by_shop(claims())
    return signed_by_shop(inner.encode(), cty="JWT")


@attack
def encrypted_jwt() -> str:
    """A JWE has five parts."""
    header = encoded({"alg": "RSA-OAEP", "enc": "A256GCM"})
    return ".".join([header, *(encoded(b"x") for _ in range(4))])


@attack
def jws_as_json() -> str:
    """The other form of a signature (RFC 7515 §7.2)."""
    header, payload, signature = signed_by_shop(claims()).split(".")
    fields = {"protected": header, "payload": payload, "signature": signature}
    return json.dumps(fields)


@attack
def no_dots() -> str:
    """One part."""
    return encoded(claims())


@attack
def one_dot() -> str:
    """Two parts."""
    return signed_by_shop(claims()).rpartition(".")[0]


@attack
def extra_dot() -> str:
    """A fourth part that is empty."""
    return signed_by_shop(claims()) + "."


@attack
def extra_part() -> str:
    """A fourth part."""
    return signed_by_shop(claims()) + "." + encoded(b"x")


@attack
def only_dots() -> str:
    """Three parts of nothing."""
    return ".."


@attack
def empty() -> str:
    """Nothing."""
    return ""


@attack
def not_ascii() -> Sent:
    """Bytes that are no text."""
    return Sent(b"\xff\xfe." + signed_by_shop(claims()).encode())


@attack
def two_jwts() -> str:
    """Two JWTs, one after the other."""
    return f"{signed_by_shop(claims())}\n{by_thief()}"


@attack
def standard_base64() -> str:
    """The other alphabet, which not every reader tells apart."""
    header, payload, _ = signed_by_shop(claims()).split(".")
    return f"{header}.{payload}.{'+/' * 171}"


@attack
def claims_list() -> str:
    """Claims that are no object."""
    return signed_by_shop(b'["iss"]')


@attack
def claims_not_json() -> str:
    """Claims that are nothing."""
    return signed_by_shop(b"MARKER", kid="shop")


@attack
def claims_deep() -> str:
    """Claims that overflow a parser's stack."""
    return signed_by_shop(b"[" * 20_000 + b"]" * 20_000, kid="shop")


# ------------------------------------------------------------------ the envelope


@attack
def jwt_as_json() -> Sent:
    """A right JWT that says it is JSON."""
    return Sent(signed_by_shop(claims()), {"Content-Type": "application/json"})


@attack
def jwt_in_quotes() -> Sent:
    """A right JWT as a JSON string."""
    return Sent(
        json.dumps(signed_by_shop(claims())), {"Content-Type": "application/json"}
    )


@attack
def jwt_beside_a_token() -> Sent:
    """A right JWT with an `Authorization`, even a right one."""
    return Sent(signed_by_shop(claims()), TEXT | {"Authorization": SECRET})


@attack
def jwt_with_a_bearer_prefix() -> str:
    """A right JWT with a word before it."""
    return f"Bearer {signed_by_shop(claims())}"


@attack
def jwt_in_the_header() -> Sent:
    """A right JWT where a token is expected."""
    headers = {
        "Content-Type": "application/json",
        "Authorization": signed_by_shop(claims()),
    }
    return Sent(json.dumps(PLAIN), headers)


@attack
def bearer_jwt_in_the_header() -> Sent:
    """The same with a word before it."""
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {signed_by_shop(claims())}",
    }
    return Sent(json.dumps(PLAIN), headers)


@attack
def bearer_token() -> Sent:
    """A right token with a word before it (trap T11)."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {SECRET}"}
    return Sent(json.dumps(PLAIN), headers)


@attack
def token_of_an_hmac_requestor() -> Sent:
    """A secret that is shared is not sent."""
    headers = {
        "Content-Type": "application/json",
        "Authorization": jwts.SECRET.decode(),
    }
    return Sent(json.dumps(PLAIN), headers)


@attack
def json_as_text() -> Sent:
    """A plain request that says it is a JWT."""
    return Sent(json.dumps(PLAIN))


@attack
def jwt_as_a_form() -> Sent:
    """A right JWT of another content type."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    return Sent(signed_by_shop(claims()), form)


@attack
def jwt_as_jwt() -> Sent:
    """A right JWT of the content type that others give it."""
    return Sent(signed_by_shop(claims()), {"Content-Type": "application/jwt"})


# ------------------------------------------------------------------------- tests


@pytest.fixture
def gateway(workshop: Workshop) -> FastAPI:
    """A gateway with a requestor of each kind, who may all ask for everything."""
    public = jwts.rsa_key("shop").public_key()
    names = ("acme", "the-shop", "the-bank")
    desk = dataclasses.replace(
        workshop.desk(),
        authenticator=Authenticator(
            tokens={"acme": SECRET},
            keys={
                "shop": RequestKey(
                    requestor="the-shop", algorithm="RS256", secret=public
                ),
                "bank": RequestKey(
                    requestor="the-bank", algorithm="HS256", secret=jwts.SECRET
                ),
            },
        ),
        requestors=Requestors(
            by_key={name: Requestor(name=name, key=name) for name in names},
            permissions=Permissions(),
            default_host="irma.example",
        ),
    )
    return workshop.shared.at(desk)


@pytest.mark.parametrize("made", ATTACKS, ids=lambda made: made.__name__)
async def test_it_is_refused(workshop: Workshop, gateway: FastAPI, made: Attack) -> None:
    """400 or 403 in IRMA's words, and nothing is started or written."""
    sent = made()
    sent = Sent(sent) if isinstance(sent, str) else sent
    body = sent.body.encode() if isinstance(sent.body, str) else sent.body
    answer = await call(gateway, "POST", "/session", body, sent.headers)
    assert answer.status in {400, 403}
    assert answer.fields["error"] in {"INVALID_REQUEST", "UNAUTHORIZED"}
    assert "MARKER" not in answer.body.decode()
    assert workshop.backend.requests == []
    assert await workshop.store.chains(limit=1) == []
    assert workshop.publisher.calls == []


@pytest.mark.parametrize(
    "body", [signed_by_shop(claims()), by_secret(of_bank())], ids=["shop", "bank"]
)
async def test_what_the_attacks_start_from_is_admitted(
    workshop: Workshop, gateway: FastAPI, body: str
) -> None:
    """The unchanged JWTs start sessions, so each refusal is the change's doing."""
    answer = await call(gateway, "POST", "/session", body.encode(), TEXT)
    assert answer.status == 200
    assert len(workshop.backend.requests) == 1


def test_every_attack_is_told_and_another() -> None:
    """Each has a docstring and sends something of its own."""
    assert all(made.__doc__ for made in ATTACKS)
    sent = [str(made()) for made in ATTACKS]
    assert len(set(sent)) == len(sent) > 100

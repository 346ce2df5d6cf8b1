"""Permissions as the IRMA server gives them, and the keys of requestors.

The cases named like probes are those of a real IRMA server 1.3.0 ("permissions: …").
"""

from __future__ import annotations

import pytest

from orchestrator.domain.errors import NotConfigured
from orchestrator.domain.permissions import (
    ANONYMOUS,
    Permissions,
    Refusal,
    Requestor,
    can_request,
    can_revoke,
    requestor_key,
    requestor_keys,
)
from orchestrator.domain.requestors import Requestors
from schemas.irma import (
    SessionRequest,
    revocation_request_from,
    session_request_from,
)

STUDENT = "irma-demo.RU.studentCard"
ID = f"{STUDENT}.studentID"
UNIVERSITY = f"{STUDENT}.university"
BSN = "irma-demo.MijnOverheid.root.BSN"
HOST = "irma.example:8088"
HOST_REFUSED = "requestor not allowed to use the requested host"
NOTHING = Permissions(disclose_perms=(), sign_perms=(), issue_perms=())

#: The requestors of the recorded server's configuration P.
ONE = Requestor(name="one", key="one", disclose_perms=(ID,))
CRED = Requestor(name="cred", key="cred", disclose_perms=(f"{STUDENT}.*",))
ISR = Requestor(name="isr", key="isr", disclose_perms=("irma-demo.RU.*",))
SCH = Requestor(name="sch", key="sch", disclose_perms=("irma-demo.*",))
ISSUER = Requestor(
    name="issuer", key="issuer", disclose_perms=(ID,), issue_perms=(STUDENT,)
)
SIGNER = Requestor(name="signer", key="signer", sign_perms=(ID,), disclose_perms=(BSN,))
HOSTS = Requestor(
    name="hosts",
    key="hosts",
    disclose_perms=("*",),
    host_perms=("app.example:8443", "*.hosts.example"),
)
NONE = Requestor(name="none", key="none")


def disclose(*disjunctions: list[list[str]], host: str | None = None) -> SessionRequest:
    """A disclosure request of these disjunctions."""
    fields = {
        "@context": "https://irma.app/ld/request/disclosure/v2",
        "disclose": list(disjunctions),
    }
    return session_request_from(fields | ({} if host is None else {"host": host}))


def sign(*disjunctions: list[list[str]]) -> SessionRequest:
    """A signature request of these disjunctions."""
    return session_request_from(
        {
            "@context": "https://irma.app/ld/request/signature/v2",
            "message": "I agree",
            "disclose": list(disjunctions),
        }
    )


def issue(*credentials: str, ask: str | None = None) -> SessionRequest:
    """An issuance request of these credentials, against one attribute if given."""
    return session_request_from(
        {
            "@context": "https://irma.app/ld/request/issuance/v2",
            "credentials": [{"credential": name} for name in credentials],
            "disclose": [[[ask]]] if ask else [],
        }
    )


@pytest.mark.parametrize(
    "requestor,request_,reason",
    [
        pytest.param(ONE, disclose([[ID]]), None, id="one attribute allowed"),
        pytest.param(
            ONE,
            disclose([[UNIVERSITY]]),
            UNIVERSITY,
            id="one attribute allowed, another asked",
        ),
        pytest.param(
            ONE,
            disclose([[ID], [UNIVERSITY]]),
            UNIVERSITY,
            id="every alternative needs permission",
            marks=pytest.mark.trap("T16"),
        ),
        pytest.param(
            CRED, disclose([[ID]], [[UNIVERSITY]]), None, id="credential wildcard"
        ),
        pytest.param(
            CRED, disclose([[STUDENT]]), None, id="credential wildcard, possession"
        ),
        pytest.param(
            ONE,
            disclose([[STUDENT]]),
            STUDENT,
            id="attribute permission, possession asked",
        ),
        pytest.param(ISR, disclose([[ID]]), None, id="issuer wildcard"),
        pytest.param(ISR, disclose([[BSN]]), BSN, id="issuer wildcard, other issuer"),
        pytest.param(SCH, disclose([[ID]], [[BSN]]), None, id="scheme wildcard"),
        pytest.param(SCH, disclose([["x.y.z.a"]]), "x.y.z.a", id="other scheme"),
        pytest.param(
            ONE,
            issue(STUDENT),
            "No issuer permissions configured",
            id="no issue permission by default in production",
        ),
        pytest.param(ISSUER, issue(STUDENT), None, id="issue one credential"),
        pytest.param(
            ISSUER,
            issue(STUDENT, "irma-demo.RU.other"),
            "No issuer permissions configured for credential 'irma-demo.RU.other'",
            id="issue another credential",
        ),
        pytest.param(
            ISSUER,
            issue(STUDENT, ask=BSN),
            BSN,
            id="issue with disclose not permitted",
            marks=pytest.mark.trap("T17"),
        ),
        pytest.param(
            ONE,
            issue(STUDENT, ask=BSN),
            "No issuer permissions configured",
            id="issuing is judged before disclosing",
        ),
        pytest.param(
            SIGNER, disclose([[ID]]), ID, id="sign permission does not disclose"
        ),
        pytest.param(SIGNER, sign([[ID]]), None, id="sign permission signs"),
        pytest.param(SIGNER, sign([[BSN]]), BSN, id="disclose permission does not sign"),
        pytest.param(
            HOSTS, disclose([[ID]], host="app.example:8443"), None, id="host allowed"
        ),
        pytest.param(
            HOSTS,
            disclose([[ID]], host="a.b.hosts.example"),
            None,
            id="host pattern spans dots",
        ),
        pytest.param(
            HOSTS,
            disclose([[ID]], host="evil.example"),
            HOST_REFUSED,
            id="host not in list",
        ),
        pytest.param(
            HOSTS,
            disclose([[ID]], host="app.example"),
            HOST_REFUSED,
            id="the port is part of the host",
        ),
        pytest.param(
            HOSTS,
            disclose([[ID]], host="a/b.hosts.example"),
            HOST_REFUSED,
            id="host pattern does not span slashes",
        ),
        pytest.param(
            HOSTS,
            disclose([[ID]], host="app.exampleX8443"),
            HOST_REFUSED,
            id="a dot is a dot",
        ),
        pytest.param(
            HOSTS,
            disclose([[ID]], host="a.hosts.example.evil.example"),
            HOST_REFUSED,
            id="a pattern covers the whole host",
        ),
        pytest.param(
            HOSTS,
            disclose([[ID]]),
            HOST_REFUSED,
            id="default host with host_perms",
            marks=pytest.mark.trap("T18"),
        ),
        pytest.param(ONE, disclose([[ID]], host=HOST), None, id="default host named"),
        pytest.param(
            ONE, disclose([[ID]], host=""), None, id="empty host is the default"
        ),
        pytest.param(
            ONE,
            disclose([[ID]], host="app.example:8443"),
            HOST_REFUSED,
            id="other host without host_perms",
        ),
        pytest.param(
            ONE,
            disclose([[ID]], [[], [UNIVERSITY]]),
            UNIVERSITY,
            id="optional disjunction counts",
            marks=pytest.mark.trap("T16"),
        ),
        pytest.param(NONE, disclose([[ID]]), "", id="no disclose permission at all"),
        pytest.param(NONE, sign([[]]), "", id="no sign permission at all"),
        pytest.param(SIGNER, sign([[]]), None, id="nothing asked needs no entry"),
    ],
)
def test_production_server_of_the_recordings(
    requestor: Requestor, request_: SessionRequest, reason: str | None
) -> None:
    """The refusal's reason is, word for word, what the IRMA server says."""
    refusal = can_request(requestor, request_, permissions=NOTHING, default_host=HOST)
    assert refusal == (None if reason is None else Refusal(reason))


@pytest.mark.parametrize(
    "own,everyone,credential,reason",
    [
        ((), (), STUDENT, ""),
        (("*",), (), STUDENT, None),
        (("irma-demo.*",), (), STUDENT, None),
        (("irma-demo.RU.*",), (), STUDENT, None),
        ((STUDENT,), (), STUDENT, None),
        ((), (STUDENT,), STUDENT, None),
        ((STUDENT,), (), "irma-demo.RU.other", "irma-demo.RU.other"),
        (("irma-demo.MijnOverheid.*",), (STUDENT,), "a.b.c", "a.b.c"),
    ],
)
def test_revoking(
    own: tuple[str, ...],
    everyone: tuple[str, ...],
    credential: str,
    reason: str | None,
) -> None:
    """By default nobody may revoke; a permission to issue is none to revoke."""
    requestor = Requestor(name="r", key="r", issue_perms=("*",), revoke_perms=own)
    permissions = Permissions(revoke_perms=everyone)
    refusal = can_revoke(requestor, credential, permissions=permissions)
    assert refusal == (None if reason is None else Refusal(reason))


@pytest.mark.trap("T35")
def test_nobody_has_the_common_lists_and_the_default_host() -> None:
    """IRMA's requestor "" has nothing of its own (static sessions, no_auth)."""
    everyone = Permissions(disclose_perms=(ID,), issue_perms=(), revoke_perms=(STUDENT,))
    nobody = Requestors(
        by_key={ANONYMOUS: Requestor(name="", key=ANONYMOUS), "one": HOSTS},
        permissions=everyone,
        default_host=HOST,
    )
    assert nobody.refusal(ANONYMOUS, disclose([[ID]])) is None
    assert nobody.refusal(ANONYMOUS, disclose([[BSN]])) == Refusal(BSN)
    elsewhere = disclose([[ID]], host="app.example:8443")
    assert nobody.refusal(ANONYMOUS, elsewhere) == Refusal(HOST_REFUSED)
    assert nobody.refusal("gone", disclose([[ID]])) == Refusal("Unknown requestor")


def test_who_is_gone_revokes_nothing() -> None:
    """A requestor that was taken out of the configuration may do nothing more."""
    requestors = Requestors(
        by_key={"one": ONE},
        permissions=Permissions(revoke_perms=(STUDENT,)),
        default_host=HOST,
    )
    request = revocation_request_from(
        {
            "@context": "https://irma.app/ld/request/revocation/v1",
            "type": STUDENT,
            "revocationKey": "k",
        }
    )
    assert requestors.revocation_refusal("one", request) is None
    refusal = requestors.revocation_refusal("two", request)
    assert refusal == Refusal("Unknown requestor")


def test_lists_for_everyone_are_added_to_the_requestors_own() -> None:
    """What everyone may, a requestor with a list of its own may too."""
    everyone = Permissions(disclose_perms=(UNIVERSITY,), sign_perms=(), issue_perms=())
    asked = disclose([[ID]], [[UNIVERSITY]])
    assert can_request(ONE, asked, permissions=everyone, default_host=HOST) is None


@pytest.mark.parametrize(
    "permissions,reason",
    [
        (Permissions(), None),
        (Permissions.in_production(), "No issuer permissions configured"),
    ],
)
def test_default_lists(permissions: Permissions, reason: str | None) -> None:
    """By default everyone may all but, in production, issue."""
    for asked in (disclose([[ID]]), sign([[ID]])):
        assert (
            can_request(NONE, asked, permissions=permissions, default_host=HOST) is None
        )
    refusal = can_request(
        NONE, issue(STUDENT), permissions=permissions, default_host=HOST
    )
    assert refusal == (None if reason is None else Refusal(reason))


@pytest.mark.parametrize("entry", ["*", "irma-demo.*", "irma-demo.RU.*", STUDENT])
def test_issue_entries(entry: str) -> None:
    """Each form of an entry that permits a credential to be issued."""
    issuer = Requestor(name="i", key="i", issue_perms=(entry,))
    asked = issue(STUDENT)
    assert can_request(issuer, asked, permissions=NOTHING, default_host=HOST) is None


@pytest.mark.parametrize(
    "entry", ["", "*.*", "a*", "a.*.c.d", "a.b.c", "a.b.c.d.e", "a.b.c.d.*", "a..c.d"]
)
def test_entries_that_never_match_are_refused(entry: str) -> None:
    """A misspelt permission stops the process instead of refusing requests later."""
    with pytest.raises(NotConfigured, match="disclose_perms"):
        Requestor(name="x", key="x", disclose_perms=(entry,))
    with pytest.raises(NotConfigured, match="sign_perms"):
        Permissions(sign_perms=(entry,))


@pytest.mark.parametrize("pattern", ["[", "a[b", "[]", "[^]", "[a-]", "[-a]", "a\\"])
def test_malformed_host_patterns_are_refused(pattern: str) -> None:
    """A pattern that Go would not read stops the process, with its requestor's name."""
    with pytest.raises(NotConfigured, match="requestor 'x': host_perms"):
        Requestor(name="x", key="x", host_perms=("*", pattern))


@pytest.mark.parametrize(
    "permissions,credential,permitted",
    [
        (("*",), "", True),
        (("irma-demo.*",), "irma-demo", True),
        (("irma-demo.*",), "", False),
        (("irma-demo.RU.*",), "irma-demo.RU.studentCard", True),
        (("irma-demo.RU.*",), "irma-demo.RU.studentCard.level", False),
        (("irma-demo.*",), "irma-demo.RU.studentCard.level", True),
        ((STUDENT,), f"{STUDENT}.level", False),
    ],
)
def test_what_is_to_be_revoked_may_be_no_credential(
    permissions: tuple[str, ...], credential: str, *, permitted: bool
) -> None:
    """Its issuer is all but the last part, its scheme the first."""
    refusal = can_revoke(
        NONE, credential, permissions=Permissions(revoke_perms=permissions)
    )
    assert refusal == (None if permitted else Refusal(credential))


@pytest.mark.parametrize("entry", ["a.b.c.*", "a.b", "a.b.c.d"])
def test_issue_entries_name_credentials(entry: str) -> None:
    """A list for issuing names credentials, never attributes."""
    with pytest.raises(NotConfigured, match=r"issue_perms.*3 parts"):
        Requestor(name="x", key="x", issue_perms=(entry,))
    with pytest.raises(NotConfigured, match=r"revoke_perms.*3 parts"):
        Permissions(revoke_perms=(entry,))


@pytest.mark.parametrize(
    "name,configured,key",
    [
        ("acme", None, "acme"),
        ("Acme-2", None, "acme-2"),
        ("", None, "anonymous"),
        ("A.C.M.E. Ltd", "acme", "acme"),
        ("callbacks", "acme", "acme"),
        ("chains", None, "chains"),
    ],
)
def test_key_of_a_requestor(name: str, configured: str | None, key: str) -> None:
    """A key is the lower-cased name where that fits, else what is configured."""
    assert requestor_key(name, configured) == key


@pytest.mark.parametrize(
    "name,configured",
    [
        ("acme.nl", None),
        ("acme nl", None),
        ("acme\n", None),
        ("café", None),
        ("a" * 101, None),
        ("acme", ""),
        ("acme", "Acme"),
        ("acme", "_operator"),
        ("callbacks", None),
        ("Sessions", None),
        ("history", None),
        ("dead", None),
        ("chain", None),
        ("amq", None),
        ("acme", "amq"),
        ("Anonymous", None),
    ],
)
def test_keys_that_are_refused(name: str, configured: str | None) -> None:
    """A key that would be misread on the broker is refused, naming the requestor."""
    with pytest.raises(NotConfigured, match="requestor"):
        requestor_key(name, configured)


def test_keys_of_all_requestors() -> None:
    """Every requestor has a key of its own."""
    keys = requestor_keys({"": None, "Acme": None, "acme.nl": "acme-nl"})
    assert keys == {"": "anonymous", "Acme": "acme", "acme.nl": "acme-nl"}


def test_two_requestors_cannot_share_a_key() -> None:
    """Who shares a key would share queues, so both are named."""
    with pytest.raises(NotConfigured, match=r"'Acme' and 'acme' have the same key"):
        requestor_keys({"Acme": None, "acme": None})

"""How a pretend IRMA server is set up; the names are an IRMA server's own options."""

from pydantic import BaseModel, ConfigDict


class Requestor(BaseModel):
    """Someone who may start sessions, and what for (reference irma.md §3.3)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    disclose_perms: tuple[str, ...] = ()
    sign_perms: tuple[str, ...] = ()
    issue_perms: tuple[str, ...] = ()
    host_perms: tuple[str, ...] = ()


class SandboxConfig(BaseModel):
    """Everything that can be set; the defaults are those of an IRMA server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: What an app reaches us by; pointers begin with it.
    url: str
    #: Requestors by name; without any, nobody has to authenticate (`no_auth`).
    requestors: dict[str, Requestor] = {}
    disclose_perms: tuple[str, ...] = ("*",)
    sign_perms: tuple[str, ...] = ("*",)
    issue_perms: tuple[str, ...] = ("*",)
    allow_unsigned_callbacks: bool = False
    #: PEM of an RSA key; with it, results are posted as JWTs.
    jwt_privkey: str | None = None
    jwt_issuer: str = "irmaserver"
    max_session_lifetime_s: float = 900
    session_result_lifetime_s: float = 300
    sweep_s: float = 10
    #: When an app gets 503 while its request is still worked on (reference irma.md §1.2).
    handler_cut_s: float = 4.2

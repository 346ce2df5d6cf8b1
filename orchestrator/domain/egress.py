"""Where callbacks may go: one pure rule for addresses, names, schemes and ports.

What is not public is forbidden: every range of the IANA special-purpose registries for
IPv4 and IPv6, and what no registry gives out. An address that carries another one inside
(6to4, Teredo, NAT64 and the like) leads there, so both have to be allowed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final, Self

from orchestrator.domain.egress_ranges import RANGES, Address, Network, Range
from orchestrator.domain.errors import NotConfigured

NOT_PUBLIC: Final = (
    "its address is not public (egress.allowed_networks, egress.allowed_hosts)"
)
NOT_TLS: Final = "it is not https (egress.allow_http)"
NOT_THAT_PORT: Final = "its port is not on the list (egress.allowed_ports)"
NOT_PLAIN: Final = "its host is neither a name nor an address in its usual spelling"
NOT_THROUGH_PROXY: Final = "it is not https, as the proxy needs (egress.allowed_hosts)"

#: What names are made of; whether one is well-formed, its look-up says.
_NAME: Final = re.compile(r"[a-z0-9._-]*")
_WHOLE_NAME: Final = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")

#: A last part like this makes the whole host a number to `inet_aton` and to browsers.
_NUMERIC: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")

_MAPPED: Final = IPv6Network("::ffff:0:0/96")

#: Prefixes after which the last 32 bits are an IPv4 address: compatible, translated
#: (RFC 2765), NAT64 (RFC 6052).
_IPV4_AT_END: Final = (
    IPv6Network("::/96"),
    IPv6Network("::ffff:0:0:0/96"),
    IPv6Network("64:ff9b::/96"),
)

#: ISATAP's interface identifiers (RFC 5214), after which comes an IPv4 address.
_ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})


class Forbidden(Exception):
    """A destination that no callback may have.

    Attributes:
        rule: which rule forbids it and what would allow it, fit for the integrator.
        detail: the address and its range, for the operator's log only.
    """

    def __init__(self, rule: str, detail: str | None = None) -> None:
        super().__init__(rule)
        self.rule = rule
        self.detail = detail


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """What is allowed beyond https to public addresses.

    Attributes:
        networks: addresses that are allowed whatever range they are in.
        hosts: names whose address does not matter: exact, `*.suffix`, or `*` for all.
        http: whether the connection may be without TLS.
        ports: the only ports; any if empty.
    """

    networks: tuple[Network, ...] = ()
    hosts: tuple[str, ...] = ()
    http: bool = False
    ports: frozenset[int] = frozenset()

    def plus(self, other: Self) -> Allowance:
        """What either of two allows; ports are those of the first."""
        return Allowance(
            networks=self.networks + other.networks,
            hosts=self.hosts + other.hosts,
            http=self.http or other.http,
            ports=self.ports,
        )

    def check_url(self, scheme: str, port: int | None) -> None:
        """What can be said before anything is looked up.

        Raises:
            Forbidden: not https, or not one of the ports.
        """
        if scheme != "https" and not self.http:
            raise Forbidden(NOT_TLS)
        if self.ports and port not in self.ports:
            raise Forbidden(NOT_THAT_PORT)

    def check_address(self, text: str) -> None:
        """Whether an address may be dialled, as it is handed to the socket.

        Raises:
            Forbidden: it is in a range that is not allowed, or is no address.
        """
        address = _read_address(text)
        if address is None:  # one with a zone, which is never public
            raise Forbidden(NOT_PUBLIC, text)
        for face in faces(address):
            found = forbidding(face)
            if found is not None and not self._covers(face):
                raise Forbidden(NOT_PUBLIC, f"{text}: {found.network}, {found.name}")

    def names(self, host: str) -> bool:
        """Whether a name, as `read_host` gives it, is allowed wherever it leads."""
        return any(_matches(pattern, host) for pattern in self.hosts)

    def _covers(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


def faces(address: Address) -> tuple[Address, ...]:
    """The address itself and those that it carries, all of which have to be allowed.

    A mapped address is just another spelling: the kernel dials the IPv4 address.
    """
    if isinstance(address, IPv4Address):
        return (address,)
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    carried: list[IPv4Address] = []
    if address.sixtofour is not None:
        carried.append(address.sixtofour)
    if address.teredo is not None:
        carried.extend(address.teredo)
    if _has_ipv4_at_end(address):
        carried.append(IPv4Address(int(address) & 0xFFFF_FFFF))
    return (address, *carried)


def forbidding(address: Address) -> Range | None:
    """The first range in the table that an address is in."""
    return next((one for one in RANGES if address in one.network), None)


def read_host(host: str) -> Address | str:
    """A URL's host as its address, or as the name to look up, in lower case.

    Raises:
        Forbidden: it is an address to some and a name to others (octal, hexadecimal,
            short, one number, trailing dot, percent-encoding, zone), or neither.
    """
    address = _read_address(host)
    if address is not None:
        return address
    name = host.lower().rstrip(".")
    if not _NAME.fullmatch(name) or _NUMERIC.fullmatch(name.rpartition(".")[2]):
        raise Forbidden(NOT_PLAIN)
    return name


def read_network(text: str) -> Network:
    """An entry of a list of networks.

    Raises:
        NotConfigured: it is no network in CIDR notation, or can match nothing.
    """
    try:
        network = ip_network(text)
    except ValueError as error:
        raise NotConfigured(f"{text}: no network: {error}") from None
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        raise NotConfigured(f"{text}: write the IPv4 network itself")
    return network


def read_pattern(text: str) -> str:
    """An entry of a list of hosts, in lower case.

    Raises:
        NotConfigured: it is no name, and no `*.` and a name, or is an address.
    """
    if text == "*":
        return text
    pattern = text.lower().removesuffix(".")
    name = pattern.removeprefix("*.")
    if _read_address(name) is not None:
        raise NotConfigured(f"{text}: an address; it belongs into allowed_networks")
    if not _WHOLE_NAME.fullmatch(name) or _NUMERIC.fullmatch(name.rpartition(".")[2]):
        raise NotConfigured(f"{text}: neither a host name nor *.suffix")
    return pattern


def _matches(pattern: str, host: str) -> bool:
    if pattern == "*":
        return True
    if pattern.startswith("*."):
        return host.endswith(pattern[1:])
    return host == pattern


@lru_cache(maxsize=1_000)
def _read_address(text: str) -> Address | None:
    """An address in its usual spelling; one with a zone is none.

    Each call asks, and mostly for the same hosts.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return None
    return address


def _has_ipv4_at_end(address: IPv6Address) -> bool:
    number = int(address)
    if number <= 1:  # unspecified and loopback are compatible with nothing
        return False
    isatap = (number >> 32) & 0xFFFF_FFFF in _ISATAP
    return isatap or any(address in prefix for prefix in _IPV4_AT_END)

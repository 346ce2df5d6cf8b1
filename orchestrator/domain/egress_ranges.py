"""The addresses that no public endpoint has, and why.

Sources: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890, as of
2025), reference delivery.md §3, and what lies outside the one block of IPv6 that is given
out (2000::/3). Some ranges are reachable (anycast, translation); no endpoint is in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True)
class Range:
    """A range, and what it is for."""

    network: Network
    name: str


def _range(network: str, name: str) -> Range:
    return Range(ip_network(network), name)


RANGES: Final = (
    _range("0.0.0.0/8", "this network"),
    _range("10.0.0.0/8", "private use"),
    _range("100.64.0.0/10", "shared by carriers"),
    _range("127.0.0.0/8", "loopback"),
    _range("168.63.129.16/32", "the platform's own, on Azure"),
    _range("169.254.0.0/16", "link-local"),
    _range("172.16.0.0/12", "private use"),
    _range("192.0.0.0/24", "protocol assignments"),
    _range("192.0.2.0/24", "documentation"),
    _range("192.31.196.0/24", "AS112"),
    _range("192.52.193.0/24", "AMT relays"),
    _range("192.88.99.0/24", "6to4 relays"),
    _range("192.168.0.0/16", "private use"),
    _range("192.175.48.0/24", "AS112"),
    _range("198.18.0.0/15", "benchmarking"),
    _range("198.51.100.0/24", "documentation"),
    _range("203.0.113.0/24", "documentation"),
    _range("224.0.0.0/4", "multicast"),
    _range("255.255.255.255/32", "broadcast"),
    _range("240.0.0.0/4", "reserved"),
    _range("::/128", "unspecified"),
    _range("::1/128", "loopback"),
    _range("::/96", "IPv4-compatible"),
    _range("::ffff:0:0/96", "IPv4-mapped"),
    _range("::ffff:0:0:0/96", "IPv4-translated"),
    _range("64:ff9b::/96", "NAT64"),
    _range("64:ff9b:1::/48", "NAT64 of a network's own"),
    _range("100::/64", "discard"),
    _range("100:0:0:1::/64", "dummy"),
    _range("2001::/32", "Teredo"),
    _range("2001:2::/48", "benchmarking"),
    _range("2001:10::/28", "ORCHID"),
    _range("2001:20::/28", "ORCHIDv2"),
    _range("2001:30::/28", "DRIP"),
    _range("2001::/23", "protocol assignments"),
    _range("2001:db8::/32", "documentation"),
    _range("2002::/16", "6to4"),
    _range("2620:4f:8000::/48", "AS112"),
    _range("3fff::/20", "documentation"),
    _range("5f00::/16", "segment routing"),
    _range("fc00::/7", "unique local"),
    _range("fe80::/10", "link-local"),
    _range("fec0::/10", "site-local"),
    _range("ff00::/8", "multicast"),
    _range("::/3", "not given out"),
    _range("4000::/2", "not given out"),
    _range("8000::/1", "not given out"),
)

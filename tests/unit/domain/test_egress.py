"""Which destinations are allowed: each range to its ends, and every disguise."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.egress import (
    NOT_PLAIN,
    NOT_PUBLIC,
    NOT_THAT_PORT,
    NOT_TLS,
    Allowance,
    Forbidden,
    faces,
    forbidding,
    read_host,
    read_network,
    read_pattern,
)
from orchestrator.domain.egress_ranges import RANGES, Address, Range
from orchestrator.domain.errors import NotConfigured

NOTHING: Final = Allowance()

#: What every list of this kind has to have (reference delivery.md §3, IANA's registries).
LISTED: Final = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
    "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24",
    "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
    "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4",
    "240.0.0.0/4", "255.255.255.255/32", "168.63.129.16/32",
    "::/128", "::1/128", "64:ff9b::/96",
    "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23", "2001::/32",
    "2001:1::1/128", "2001:2::/48", "2001:3::/32", "2001:4:112::/48", "2001:10::/28",
    "2001:20::/28", "2001:30::/28", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48",
    "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
]  # fmt: skip

#: Public addresses right outside ranges, and some well-known ones.
PUBLIC: Final = [
    "1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
    "126.255.255.255", "128.0.0.0", "168.63.129.15", "168.63.129.17",
    "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0",
    "191.255.255.255", "192.0.1.0", "192.0.1.255", "192.0.3.0", "192.31.195.255",
    "192.31.197.0", "192.52.192.255", "192.52.194.0", "192.88.98.255", "192.88.100.0",
    "192.167.255.255", "192.169.0.0", "192.175.47.255", "192.175.49.0",
    "198.17.255.255", "198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255",
    "203.0.114.0", "223.255.255.255", "8.8.8.8", "93.184.216.34", "2000::",
    "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::", "2003::",
    "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::",
    "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2620:4f:7fff:ffff:ffff:ffff:ffff:ffff", "2620:4f:8001::",
    "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::", "3fff:ffff::",
    "2606:4700:4700::1111", "2a00:1450:4001::200e",
]  # fmt: skip


def refused(allowance: Allowance, address: str) -> bool:
    """Whether an address may not be dialled."""
    try:
        allowance.check_address(address)
    except Forbidden as error:
        return error.rule == NOT_PUBLIC
    return False


def neighbours(one: Range) -> list[Address]:
    """The addresses right below and above a range."""
    first, last = one.network[0], one.network[-1]
    below = [first - 1] if int(first) > 0 else []
    above = [last + 1] if int(last) + 1 < 1 << first.max_prefixlen else []
    return [*below, *above]


@pytest.mark.parametrize("network", LISTED)
def test_every_special_range_is_forbidden_to_its_ends(network: str) -> None:
    """The first and last address of each, and one in the middle."""
    listed = ip_network(network)
    middle = listed[listed.num_addresses // 2]
    for address in (listed[0], middle, listed[-1]):
        assert refused(NOTHING, str(address)), address


@pytest.mark.parametrize("one", RANGES, ids=lambda one: str(one.network))
def test_ranges_end_where_they_end(one: Range) -> None:
    """A range forbids its ends; its neighbours are public or another range's."""
    assert forbidding(one.network[0]) is not None
    assert forbidding(one.network[-1]) is not None
    for address in neighbours(one):
        assert forbidding(address) is not one


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    """Right outside the ranges nothing is lost."""
    assert not refused(NOTHING, address)


#: Every range is as likely as the largest, which else would be hit alone.
ADDRESSES: Final = st.one_of(
    st.ip_addresses(v=4),
    st.ip_addresses(v=6),
    st.ip_addresses(v=6, network="2000::/3"),
    st.ip_addresses(v=6, network="2001::/16"),
    st.sampled_from(RANGES).flatmap(
        lambda one: st.integers(0, one.network.num_addresses - 1).map(
            lambda at: one.network[at]
        )
    ),
)


@given(ADDRESSES)
def test_what_is_allowed_is_global_to_python_too(address: Address) -> None:
    """Python's own table, made from the same registries, agrees about public ones."""
    if not refused(NOTHING, str(address)):
        assert all(face.is_global for face in faces(address))
        assert not any(face.is_multicast for face in faces(address))


@given(ADDRESSES)
def test_an_address_in_a_range_is_refused_and_its_network_allows_it(
    address: Address,
) -> None:
    """A range forbids; naming all that an address leads to lifts it, and only that."""
    networks = tuple(ip_network(face) for face in faces(address))
    assert not refused(Allowance(networks=networks), str(address))
    inside = any(face in one.network for face in faces(address) for one in RANGES)
    assert refused(NOTHING, str(address)) is inside


INNER: Final = ip_address("127.0.0.1")
OUTER: Final = [
    "::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "2002::/16", "2001::/32", "2a00::/16",
]  # fmt: skip


@pytest.mark.parametrize(
    "address",
    [
        "64:ff9b::127.0.0.1",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "2002:7f00:1::",
        "2002:7f00:1::1",
        "2001:0:7f00:1::f7f7:f7f7",
        "2001:0:808:808::80ff:fffe",
        "2a00::5efe:7f00:1",
        "2a00::200:5efe:127.0.0.1",
    ],
)
def test_a_carried_address_is_checked_as_well(address: str) -> None:
    """To allow the carrier is not to allow what it carries; both together will do."""
    carriers = tuple(ip_network(text) for text in OUTER)
    assert refused(NOTHING, address)
    assert refused(Allowance(networks=carriers), address)
    loopback = ip_network("127.0.0.0/8")
    assert not refused(Allowance(networks=(*carriers, loopback)), address)


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_the_ipv4_address(inner: Address) -> None:
    """The kernel dials the same, so the same is said of both."""
    mapped = str(IPv6Address(0xFFFF_0000_0000 | int(inner)))
    assert refused(NOTHING, mapped) is refused(NOTHING, str(inner))
    allowed = Allowance(networks=(ip_network(inner),))
    assert not refused(allowed, mapped)


@pytest.mark.parametrize(
    "address", ["fe80::1%eth0", "2a00::1%1", "localhost", "", "127.1", "0x7f000001"]
)
def test_what_is_no_plain_address_is_not_dialled(address: str) -> None:
    """Zones belong to links, and a socket takes spellings that nobody has checked."""
    everything = Allowance(networks=(ip_network("0.0.0.0/0"), ip_network("::/0")))
    assert refused(everything, address)


def test_loopback_is_allowed_by_its_network() -> None:
    """Neither `::1` nor `127.0.0.1` needs more than to be named."""
    allowed = Allowance(networks=(ip_network("::1/128"), ip_network("127.0.0.1/32")))
    assert not refused(allowed, "::1")
    assert not refused(allowed, "127.0.0.1")
    assert refused(allowed, "127.0.0.2")
    assert refused(allowed, "::2")


def test_the_integrator_is_not_told_the_address() -> None:
    """The rule names the settings; address and range are for the operator's log."""
    with pytest.raises(Forbidden) as caught:
        NOTHING.check_address("10.1.2.3")
    assert "10." not in caught.value.rule
    assert "egress.allowed_networks" in caught.value.rule
    assert str(caught.value) == caught.value.rule
    assert caught.value.detail == "10.1.2.3: 10.0.0.0/8, private use"


@pytest.mark.parametrize(
    "host",
    [
        "127.1", "127.0.1", "2130706433", "017700000001", "0177.0.0.1", "0x7f.1",
        "0X7F000001", "0x7f.0.0.0x1", "127.0.0.01", "127.0.0.1.", "127.0.0.1..",
        "127.0.0.256", "1.2.3.4.5", "0", "0x", "name.0x7f", "name.1", "%31%32%37.0.0.1",
        "127.0.0.1%00.example", "127.0.0.1%2eexample", "fe80::1%25lo", "fe80::1%lo",
        "::1%251", "v1.fe80::", "١٢٧.0.0.1", "exa mple", "a@b", "[::1]", "a/b", "a*b",
    ],
)  # fmt: skip
def test_odd_spellings_are_refused(host: str) -> None:
    """What is an address to one reader and a name to another is neither."""
    with pytest.raises(Forbidden) as caught:
        read_host(host)
    assert caught.value.rule == NOT_PLAIN


@pytest.mark.parametrize(
    "host,read",
    [
        ("127.0.0.1", INNER),
        ("::1", ip_address("::1")),
        ("0:0:0:0:0:FFFF:127.0.0.1", ip_address("::ffff:127.0.0.1")),
        ("Hook.Example", "hook.example"),
        ("hook.example.", "hook.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("under_score", "under_score"),
        ("1and1.example", "1and1.example"),
        ("10.0.0.1.example", "10.0.0.1.example"),
        ("localhost", "localhost"),
    ],
)
def test_hosts_are_addresses_or_names(host: str, read: Address | str) -> None:
    """Both are told apart as the dialler does."""
    assert read_host(host) == read


@pytest.mark.parametrize(
    "pattern,host,matches",
    [
        ("hook.example", "hook.example", True),
        ("hook.example", "a.hook.example", False),
        ("*.hook.example", "a.hook.example", True),
        ("*.hook.example", "a.b.hook.example", True),
        ("*.hook.example", "hook.example", False),
        ("*.hook.example", "evilhook.example", False),
        ("HOOK.example.", "hook.example", True),
        ("*", "anything", True),
    ],
)
def test_names_are_allowed(pattern: str, host: str, *, matches: bool) -> None:
    """Exactly, or everything below a suffix."""
    assert Allowance(hosts=(read_pattern(pattern),)).names(host) is matches


@pytest.mark.parametrize(
    "entry",
    ["", "*.", "*.*.example", "a*.example", "a b", "https://a.example", "a.example:443",
     "10.0.0.1", "::1", "*.10.0.0.1", "127.1", "a..b", "bücher.example"],
)  # fmt: skip
def test_patterns_that_match_nothing_are_refused(entry: str) -> None:
    """A list of hosts holds hosts."""
    with pytest.raises(NotConfigured):
        read_pattern(entry)


@pytest.mark.parametrize(
    "entry", ["", "10.0.0.1/8", "10.0.0.0/33", "10.1", "name", "::ffff:10.0.0.0/104"]
)
def test_networks_that_match_nothing_are_refused(entry: str) -> None:
    """CIDR notation, and IPv4 as IPv4."""
    with pytest.raises(NotConfigured) as caught:
        read_network(entry)
    assert entry in str(caught.value)


def test_a_single_address_is_a_network() -> None:
    """Nobody has to write `/32`."""
    assert read_network("10.0.0.1") == ip_network("10.0.0.1/32")


def test_https_and_ports() -> None:
    """TLS unless allowed otherwise; any port unless some are listed."""
    NOTHING.check_url("https", 12_345)
    Allowance(http=True).check_url("http", 80)
    with pytest.raises(Forbidden, match="allow_http") as caught:
        NOTHING.check_url("http", 80)
    assert caught.value.rule == NOT_TLS
    some = Allowance(ports=frozenset({443}))
    some.check_url("https", 443)
    with pytest.raises(Forbidden, match="allowed_ports") as caught:
        some.check_url("https", 8443)
    assert caught.value.rule == NOT_THAT_PORT


def test_a_requestors_own_is_added() -> None:
    """Either of two lists allows; the ports stay everybody's."""
    ten, loopback = ip_network("10.0.0.0/8"), ip_network("127.0.0.0/8")
    common = Allowance(networks=(ten,), hosts=("a",), ports=frozenset({443}))
    both = common.plus(Allowance(networks=(loopback,), hosts=("b",), http=True))
    assert both == Allowance(
        networks=(ten, loopback), hosts=("a", "b"), http=True, ports=frozenset({443})
    )
    assert common.plus(NOTHING) == common

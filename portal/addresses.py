"""Whose browser is this: X-Forwarded-For counts only as far as proxies that the settings name vouch for it."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address


def believed_address(peer: str | None, forwarded_for: str, trusted: Sequence[str]) -> Address | None:
    """The client's address: the peer, or behind trusted proxies the rightmost hop that is not one of them.

    `forwarded_for` is the header's value ('' when absent; several headers joined by commas), `trusted` are networks.
    A hop that is no address ends the chain of trust: then nobody is known, and the answer is None.
    """
    address = _address(peer or "")
    networks = [ip_network(network) for network in trusted]
    hops = [hop for hop in forwarded_for.split(",") if hop.strip()]
    while address is not None and hops and any(address in network for network in networks):
        address = _address(hops.pop())
    return address


def _address(text: str) -> Address | None:
    """One address; an IPv4 address in IPv6 clothes (::ffff:192.0.2.1) is that IPv4 address."""
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address

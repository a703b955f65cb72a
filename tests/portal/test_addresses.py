"""Whose browser it is: only proxies that the settings name can say so, and only about who connected to them."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.addresses import believed_address

PROXIES = ("127.0.0.1/32", "10.0.0.0/8", "::1/128")


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "100.64.0.7", "203.0.113.9"),  # spoofed: the peer is no proxy
        ("127.0.0.1", "100.64.0.7", "100.64.0.7"),
        ("127.0.0.1", "100.64.0.7, 198.51.100.1", "198.51.100.1"),  # the left part is the client's own claim
        ("127.0.0.1", "100.64.0.7, 10.1.2.3", "100.64.0.7"),  # two trusted proxies in a row
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "10.0.0.1, 10.0.0.2", "10.0.0.1"),  # trusted all the way: the leftmost
        ("::1", "2001:db8::7", "2001:db8::7"),
        ("::ffff:203.0.113.9", "", "203.0.113.9"),
        ("127.0.0.1", "100.64.0.7, ::ffff:10.0.0.1", "100.64.0.7"),
    ],
)
def test_the_rightmost_hop_that_is_no_proxy_is_the_client(peer, forwarded, expected):
    assert believed_address(peer, forwarded, PROXIES) == ip_address(expected)


@pytest.mark.parametrize("forwarded", ["nonsense", "100.64.0.7, unknown", "100.64.0.7:1234", "100.64.0.7 100.64.0.8"])
def test_a_hop_that_is_no_address_makes_nobody_known(forwarded):
    assert believed_address("127.0.0.1", forwarded, PROXIES) is None


@pytest.mark.parametrize("peer", [None, "", "unix:"])
def test_without_a_peer_nobody_is_known(peer):
    assert believed_address(peer, "100.64.0.7", PROXIES) is None


@given(st.ip_addresses(v=4), st.text(max_size=60))
def test_no_header_moves_a_peer_that_is_not_trusted(peer, forwarded):
    assert believed_address(str(peer), forwarded, ()) == peer
    assert believed_address(str(peer), forwarded, ("192.0.2.0/32",)) in (peer, None) or str(peer) == "192.0.2.0"

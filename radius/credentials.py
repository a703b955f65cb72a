"""Compares what a login presents with the password that the subscriber has (RFC 2865 sections 5.2 and 5.3)."""

import hashlib
import hmac


def check_pap(stored_clear: bytes, given: bytes) -> bool:
    """Say whether the password given (as reveal_password returns it) is the stored one, in constant time."""
    return hmac.compare_digest(stored_clear, given)


def check_chap(stored_clear: bytes, chap_password: bytes, challenge: bytes) -> bool:
    """Say whether a CHAP-Password answers the challenge, in constant time (RFC 2865 section 5.3).

    chap_password: 17 octets, CHAP identifier and response; any other length is false. challenge: the value of
    CHAP-Challenge, or the Request Authenticator where there is none.
    """
    expected = hashlib.md5(chap_password[:1] + stored_clear + challenge).digest()
    return hmac.compare_digest(expected, chap_password[1:])

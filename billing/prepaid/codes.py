"""Codes of vouchers: what is printed on the card, and what people type. Pure.

A code has 15 random characters and a check character, in groups of four: K7QP-2MXD-94TA-0RW5. The alphabet is
Crockford's base 32: no I, L, O and U, so that I and L typed are 1, and O typed is 0. The check character is a weighted
sum over GF(32), whose weights are the powers of a generator: every single wrong character and every two that changed
places are found, so a slip of the hand is told apart from a wrong code and need not count as a guess.

How hard it is to guess: 15 characters are 75 bits. With a million vouchers that can still be redeemed, one guess hits
with 2^-55. Whoever guesses from a subscriber's account gets some 15 guesses on the first day, and fewer than 8 a day
however they are spread (billing.prepaid.guesses); ten thousand accounts guessing for ten years get 2^28, and together
hit with 2^-27. The check character adds nothing, because whoever guesses can work it out.
"""

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
RANDOM_LENGTH = 15
BITS = 5 * RANDOM_LENGTH
_READ_AS = str.maketrans("OIL", "011")
_VALUE = {character: value for value, character in enumerate(ALPHABET)}


def code_of(number: int) -> str:
    """The code of a number of BITS random bits, as it is kept: 16 characters without dashes."""
    body = "".join(ALPHABET[number >> 5 * place & 31] for place in range(RANDOM_LENGTH))
    return body + ALPHABET[_check(body)]


def shown(code: str) -> str:
    """A code as it is printed, in groups of four."""
    return "-".join(code[start : start + 4] for start in range(0, len(code), 4))


def read_code(typed: str) -> str | None:
    """The code that somebody typed, whatever its case, blanks and dashes; None when it has a slip in it."""
    code = "".join(each for each in typed.upper() if each.isalnum()).translate(_READ_AS)
    if len(code) != RANDOM_LENGTH + 1 or not set(code) <= _VALUE.keys():
        return None
    return code if ALPHABET[_check(code[:-1])] == code[-1] else None


def _check(body: str) -> int:
    """The value that makes the weighted sum of all characters, the check character with weight 1, nothing."""
    total = 0
    for character in body:  # Horner: each character gets one more factor than the one after it
        total = _double(total ^ _VALUE[character])
    return total


def _double(value: int) -> int:
    """A value times the generator 2 of GF(32), modulo x^5 + x^2 + 1; its powers repeat after 31."""
    value <<= 1
    return value ^ 0b100101 if value & 32 else value

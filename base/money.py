"""Money is an integer number of minor units with its currency; rounding happens in this file only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal


class MixedCurrencies(ValueError):
    """Two amounts of different currencies cannot be added or compared."""


@dataclass(frozen=True, slots=True)
class Money:
    """`minor` units (cents for EUR, yen for JPY) of ISO 4217 `currency`."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        """Refuse floats and currencies that cannot be ISO codes."""
        if type(self.minor) is not int:
            raise TypeError(f"minor units are an integer, not {self.minor!r}")
        if len(self.currency) != 3 or not self.currency.isascii() or not self.currency.isupper():
            raise ValueError(f"{self.currency!r} is not an ISO 4217 currency code such as EUR")

    def _same(self, other: "Money") -> None:
        if self.currency != other.currency:
            raise MixedCurrencies(f"{self.currency} and {other.currency} cannot be mixed")

    def __add__(self, other: "Money") -> "Money":
        self._same(other)
        return Money(self.minor + other.minor, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        self._same(other)
        return Money(self.minor - other.minor, self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.minor, self.currency)

    def __lt__(self, other: "Money") -> bool:
        self._same(other)
        return self.minor < other.minor

    def __le__(self, other: "Money") -> bool:
        self._same(other)
        return self.minor <= other.minor

    def __bool__(self) -> bool:
        return self.minor != 0

    def times(self, rate: Decimal) -> "Money":
        """This amount × `rate`, rounded half up once, away from zero on a tie."""
        return Money(round_minor(self.minor * rate), self.currency)

    def portion(self, part: int, whole: int) -> "Money":
        """This amount × part / whole (whole > 0), rounded half up once, away from zero on a tie."""
        doubled = 2 * abs(self.minor) * part + whole
        return Money((-1 if self.minor < 0 else 1) * (doubled // (2 * whole)), self.currency)


def round_minor(value: Decimal) -> int:
    """The one place where a fraction of a minor unit is rounded: half up, away from zero on a tie."""
    return int(value.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def total(amounts: Iterable[Money], currency: str) -> Money:
    """The sum in `currency`; zero for none."""
    result = Money(0, currency)
    for amount in amounts:
        result = result + amount
    return result


def split(amount: Money, weights: Sequence[int]) -> list[Money]:
    """Divide by weights so that the parts sum to the whole (largest remainder, earlier parts first on a tie)."""
    whole = sum(weights)
    if whole <= 0 or any(w < 0 for w in weights):
        raise ValueError("weights are not negative and sum to more than zero")
    sign = -1 if amount.minor < 0 else 1
    exact = [divmod(abs(amount.minor) * w, whole) for w in weights]
    left = abs(amount.minor) - sum(q for q, _ in exact)
    order = sorted(range(len(weights)), key=lambda i: (-exact[i][1], i))
    extra = set(order[:left])
    return [Money(sign * (q + (i in extra)), amount.currency) for i, (q, _) in enumerate(exact)]

"""Tax of an invoice: per rate, the nets are summed exactly and the tax is rounded once (EN 16931, BT-117)."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from base.money import Money, total


@dataclass(frozen=True, slots=True)
class TaxGroup:
    """Everything on one invoice that is taxed at `percent`."""

    percent: Decimal
    net: Money
    tax: Money


def tax_groups(taxed: Iterable[tuple[Decimal, Money]], currency: str) -> list[TaxGroup]:
    """One group per rate, lowest first, from (percent, net) of each line; '20' and '20.0' are the same rate."""
    nets: dict[Decimal, list[Money]] = {}
    for percent, net in taxed:
        nets.setdefault(percent, []).append(net)
    groups = []
    for percent in sorted(nets):
        net = total(nets[percent], currency)
        groups.append(TaxGroup(percent, net, net.times(percent.scaleb(-2))))
    return groups


def percent_text(percent: Decimal) -> str:
    """The rate as people write it: '20', '5.5'."""
    return f"{percent.normalize():f}"

"""The ways to pay that a payer is shown: a button for each gateway that has a page, instructions for the others."""

from dataclasses import dataclass

from billing.checkout import Wish
from billing.gateway.offers import Gateway, ready
from billing.gateway.ways import Instructions
from billing.refused import Refused
from portal.at_hand import business, vault


@dataclass(frozen=True, slots=True)
class Ways:
    """How something can be paid."""

    pages: tuple[tuple[str, str], ...]
    "(name of the gateway, its way in words: card), the first one by default."
    instructions: tuple[tuple[str, Instructions], ...]
    "(its way in words: bank transfer, what the payer does by themselves)."

    def __bool__(self) -> bool:
        return bool(self.pages or self.instructions)


def ways_to_pay(subscriber_id: int, wish: Wish) -> Ways:
    """The ways that the settings allow; no instructions for what cannot be paid."""
    gateways = ready(business())
    told = []
    for each in gateways:
        if not each.has_page:
            try:
                offered = each.offer(vault(), subscriber_id, "", wish)
            except Refused:
                continue
            if isinstance(offered, Instructions):
                told.append((_words(each), offered))
    pages = tuple((each.name, _words(each)) for each in gateways if each.has_page)
    return Ways(pages, tuple(told))


def page_of(name: str) -> Gateway | None:
    """The gateway with a page that was chosen, the first one by default; None where there is none."""
    pages = [each for each in ready(business()) if each.has_page]
    return next((each for each in pages if each.name == name), pages[0] if pages else None)


def _words(gateway: Gateway) -> str:
    return " or ".join(each.name for each in gateway.methods.values()).lower()

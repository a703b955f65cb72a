"""Commands about money work on the same small provider as the functions behind them."""

from tests.billing.conftest import provider

__all__ = ["provider"]

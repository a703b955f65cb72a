"""Where money is between the payer and the bank: Stripe's side of the books, payouts, and the till's days.

Door: `fetch.fetch` (the job: what moved at Stripe, each movement booked once), `reconcile.reconcile` (Stripe's balance
against ours, every difference explained), `payouts` (what a payout paid out, and the bank's line that brought it),
`suspense` (money of other business on the same account), `old_accounts` (what lies where the key no longer opens),
`till`, `worklist`. Pure: `book` (which entry a movement is). It records no payment by itself; what a refund or a
dispute means to a subscriber is decided elsewhere, here they only have to add up.
"""

"""The bank's side of money: statements are read, each line is taken once and matched, or waits for a person.

Its door: intake.take_file (a file to rows), settling.settle_all (rows to payments), queue (what staff decide), payouts
(lines that are Stripe's), undone (a payment was none after all), mappings (how a bank's CSV is read). Matching is pure
(match) and proposes; money comes in through billing.payments alone. It never talks to a bank and sends no money.
"""

"""The one door to Stripe, in our own words; what a second provider has to offer is `offers.Gateway`.

Door: `sessions` (hosted pages), `intents` (charges of saved cards), `customers` (whose cards), `webhooks` (signed
events) and `words` (what may have happened to money, pure). Outcomes are sorted by what may have happened to money: not
sent, declined, pending, succeeded, unknown. It writes no table; whoever calls has committed what it intends.
"""

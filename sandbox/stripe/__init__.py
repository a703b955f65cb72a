"""A pretend Stripe: an HTTP peer that the official library and a browser talk to.

It has Stripe's test cards, hosted pages, signed webhooks and faults on order; it listens on 127.0.0.1 only and takes
only test keys and published test card numbers. API version 2026-10-28.endive.
Door: `python -m sandbox.stripe` and sandbox.stripe.server (Config, start, serve).
"""

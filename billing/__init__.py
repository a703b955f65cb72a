"""Billing decides: who owes what, who may have which access, and why.

Door: `apply.refresh_access` (the one funnel for access), `services`, `invoices.issue_due`,
`payments.record_payment`, `gateway`, `dunning`, `why.explain`, `worker` (Celery app and job pump).

It never sends a RADIUS packet, never calls Stripe inside a business transaction, never changes a finalised
invoice and never writes access anywhere but in `apply`.
"""

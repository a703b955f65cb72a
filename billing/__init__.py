"""Billing decides: who owes what, who may have which access, and why.

Door: `apply.refresh_access` (the one funnel for access); `plans`, `taxes`, `extras` (what is sold); `services`,
`changes`, `endings` (who has it); `invoices.issue_due`, `credit_notes`, `payments.record_payment`, `ledger` (money);
`documents`, `mail`, `dunning` (what people get); `reports.catalogue` (how the business does); `gateway`, `why.explain`,
`worker` (Celery app and job pump).

It never sends a RADIUS packet, never calls Stripe inside a business transaction, never changes a finalised
invoice and never writes access anywhere but in `apply`.
"""

"""Collecting by saved card, without anybody being there: whose cards, which invoices, when, and what came of each try.

Door: `cards` (saving, choosing and removing them; autopay on and off), `cases` (one per invoice that is collected),
`charge.charge` (the job: one try), `settle` (what Stripe says became of it), `sweep` (what is due). Pure: `declines`
(what a refused card means), `schedule` (when it is tried again). Law: a case has one PaymentIntent, whose id is
committed before it is confirmed, so it is charged once whatever crashes; an outcome that is unknown is asked about,
never tried again under another key.
"""

"""Instalment plans: overdue invoices that a subscriber pays in parts on agreed days.

Door: `plans` (agree, cancel, what a day decides), `agreed` (which invoices are in a plan, what of them is due), `rules`
(pure). Law: while a plan is kept its invoices are not dunned, bear no late fee and take nothing away; a part that is
missed for longer than agreed breaks it, and dunning begins anew on that day.
"""

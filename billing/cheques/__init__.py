"""Cheques that count only when the bank has had the days to pay them (setting `cheque_days`).

Door: `clear.clear_cheque`, `clear.count_due`; `waiting` says which are under way. A cheque is recorded and booked from
the start, in accounts of its own; until it counts it settles nothing, opens no wall, and keeps dunning from what it
pays. Law: it counts once, or bounces once.
"""

"""RADIUS answers: logins from memory, accounting onto disk before it is acknowledged.

Door: `exchange.Exchange` (datagram in, bytes out, no I/O), `server` (its shell), `ingest` (journal into tables),
`packet` and `dialects` (shared with coa, portal and sandbox).

It never asks the database or awaits anything while a login is answered, never decides what a subscriber may
have, and never accepts by default.
"""

"""CoA pushes: it makes open sessions obey the current policy, and keeps every attempt.

Door: `decide.decide_step` (what a session needs, pure), `exchange` (retransmission, no I/O), `client` (the socket),
`reconcile` (the loop that makes desired and applied equal).

It never decides access, never writes a policy, and never has more than one request in flight per session.
"""

"""CoA pushes: it makes open sessions obey the current policy, and keeps every attempt.

Door: `decide.decide_step` (what a session needs, pure), `exchange` (retransmission, no I/O), `client` (the sockets),
`reconcile` (what makes desired and applied equal), `targets` and `outcomes` (what it reads and writes), `process`.

It never decides access, never writes a policy, and never has more than one request in flight per session.
"""

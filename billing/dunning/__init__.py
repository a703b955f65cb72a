"""Dunning: what an unpaid invoice leads to, step by step, by a policy that is data.

Door: `run.run_dunning` (the tick), `policies` (the operator's policies), `promises` and `exemptions` (who is waited
for), `preview.compare` (whom a change would hit). Pure: `window`, `policy`, `rules`. It never writes access: it tells
a date in a notice, and billing.decide walls in on that date if the notice arrived in time.
"""

"""The ground that every room stands on: words, tables, settings, database, jobs, money and time.

Door: `access` (the words), `tables`, `settings`, `database.transaction`, `clock.now`, `jobs.enqueue`,
`feed.publish`, `trail.record`, `wire.ask`, `money.Money`, `calendar`, `crypto`.

It never imports another room, never decides who may have access and never sends a packet. A thing enters
base only when two rooms need it and neither may import the other.
"""

"""Schema migrations: forward only, in two steps (add; remove one release later)."""

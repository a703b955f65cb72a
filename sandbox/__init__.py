"""A pretend internet provider for demos, stories and tests: NASes, Stripe, mail, subscribers, time travel.

Door: `nas.Nas` (a real UDP peer), `python -m sandbox.stripe`, `mail`, `demo.fill`, `travel`.

It listens on loopback only, and nothing in it can be reached with a production configuration: console starts it
on request, and nobody else imports it.
"""

"""The portal shows: subscribers their account, walled subscribers the way back, staff the reason why.

Door: `app.create_app`, with the blueprints subscriber, captive, staff and webhooks.

It never sends a packet and never calculates money or access itself: a view parses, calls one function and returns.
"""

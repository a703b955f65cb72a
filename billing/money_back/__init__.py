"""Money that goes back: reversed payments, refunds and disputes.

Door: `reversals.reverse_payment`, `refunds` (in cash, by transfer), `card.refund_to_card`, `disputes.hear`.
Law: money that goes back is taken out of the payment it came from; what that payment had settled is open again, and is
dunned anew from that day.
"""

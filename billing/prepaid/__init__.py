"""Prepaid: time that the balance pays for, and the vouchers that fill it.

Doors: renewal, deeds, vouchers, redemption.
"""

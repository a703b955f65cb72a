"""Measures the house beside its peers: the same datagrams, the same core, the same minute.

Its door is `./run bench`. It starts real processes on loopback, ends them by their ids, and is never started by
anything that serves subscribers.
"""

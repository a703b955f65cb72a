"""Reports: how the business does, read from the books and never written.

Each report is a pure calculation (no I/O; its docstring gives the formula) over plain values, a loader beside it (its
name ends in _load; few statements, whatever the number of subscribers), and one function in `catalogue` that joins the
two. Everything is as of the end of a day: nothing that is dated later is counted.
"""

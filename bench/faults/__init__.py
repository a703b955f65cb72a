"""The fault machine: random sequences of what can happen to money, and what must be true whatever happened.

A sequence bills, charges, opens and pays pages, takes and reverses cash, sends money back, lets cardholders deny what
they paid, adds and removes cards, lets days pass until dunning walls somebody in, hears events late, twice, in any
order or never, polls for them, orders faults from the pretend Stripe, and kills workers (SIGKILL, processes of their
own): at the n-th commit, or at a named point, while Stripe holds their call or the database their row. Afterwards
faults end, everything due is done, and the laws are looked at. Everything follows from the seed, but for how long
things take.

Door: `machine.Machine.play`, and `run.main` for `./run bench faults`.
"""

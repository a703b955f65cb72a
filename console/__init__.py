"""The operator's hands: the command line, the supervisor that `./run` starts, doctor, migrations, story.

Door: `cli.main`.

Nobody imports console. It holds no rule of its own: each command parses, calls one function of another room and
prints what came back.
"""

"""`python -m console`: the same as the command `tollkeeper`."""

from console.cli import main

main()

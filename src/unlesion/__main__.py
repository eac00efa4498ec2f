"""`python -m unlesion`: the command, where its script is not on the path."""

from unlesion.cli import main

main()

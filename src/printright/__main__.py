"""`python -m printright`."""

from printright.cli.main import main

main()

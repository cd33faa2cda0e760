"""`python -m perpcomp` is `perpcomp`."""

from perpcomp.cli.main import main

main()

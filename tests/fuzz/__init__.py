"""Every parser of foreign input under damaged input: `python -m tests.fuzz`, by coverage where atheris is installed (make fuzz)."""

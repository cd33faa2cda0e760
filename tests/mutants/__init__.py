"""Mutation testing of the money path: README.md says how to run it, and what it found."""

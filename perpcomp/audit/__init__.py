"""Checking a published run: making it again from its own inputs and comparing the two."""

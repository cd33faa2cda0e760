"""Compensations of other protocols as incident files; `python -m tests.precedents FOLDER` reproduces the published tables in a folder."""

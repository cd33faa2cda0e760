"""Proving a run: what it was made of (manifest.py), and making it again (verify.py)."""

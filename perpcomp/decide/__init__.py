"""Before the vote: formulas side by side (compare.py), and results against published figures (published.py)."""

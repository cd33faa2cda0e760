"""Before the vote: formulas side by side (compare.py), whether the money is there (capacity.py), and results against published figures (published.py)."""

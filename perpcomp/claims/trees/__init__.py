"""Claim trees: one file a dialect, of two shapes."""

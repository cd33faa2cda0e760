"""Adding up again a table that somebody else published: sums, shares, duplicates, pots, floats, rounding; and two tables against each other."""

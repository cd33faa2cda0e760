"""Before the vote: formulas side by side, whether the money suffices, restore orders, and results against published figures."""

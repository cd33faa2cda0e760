"""How amounts follow a market's reference price: exactly, as straight pieces with their kinks and jumps, never from samples."""

"""Two published runs side by side: whose payouts moved, by how much and why, and which rows of which files differ."""

"""What the guards would have done: history executed again."""

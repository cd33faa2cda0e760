"""What a run publishes: views of checked tables."""

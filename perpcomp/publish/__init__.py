"""What a run publishes: files made from its checked tables."""

"""Files that a treasury pays from: one file a format."""

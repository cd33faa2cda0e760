"""The incident file: one file a table of it."""

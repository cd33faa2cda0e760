"""The proof that no log is missing or altered."""

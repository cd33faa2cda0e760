"""That no log is missing or altered."""

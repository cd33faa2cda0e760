"""Logs and events that other tools exported."""

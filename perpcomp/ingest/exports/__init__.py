"""Logs and events that other tools exported: one file an exporter, all on one sheet."""

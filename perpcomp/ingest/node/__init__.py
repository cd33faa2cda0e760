"""Logs from nodes."""

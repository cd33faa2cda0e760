"""Logs from nodes: requests, answers, and the store that keeps them."""

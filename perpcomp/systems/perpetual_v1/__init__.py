"""Perpetual Protocol V1."""

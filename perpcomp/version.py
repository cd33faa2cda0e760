"""The version of perpcomp."""

VERSION = "0.1.0"

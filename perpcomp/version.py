"""The version of perpcomp."""

VERSION = "0.2.0"

"""The command line: words only, one file a help panel."""

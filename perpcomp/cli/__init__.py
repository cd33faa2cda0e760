"""The command line: reads arguments, calls one function of the library, prints. One file a help panel."""

"""The command line: reads arguments, calls one function of the library, prints. Each file has one or two help panels."""

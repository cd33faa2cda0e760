"""Every position and market at any block, from the logs alone."""

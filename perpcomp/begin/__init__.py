"""Before a run: an incident file drafted from logs, and a check of one."""

"""Puts this server into the configuration of the hosts on a machine, and takes it out again."""

"""The command line, one module a verb: the only place where the rooms are wired together."""

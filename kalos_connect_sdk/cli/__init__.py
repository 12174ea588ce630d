"""The command line: thin, arguments to ``Connect`` to exit code."""

"""The shell command: words to values, checks before torch is imported, errors to one line."""

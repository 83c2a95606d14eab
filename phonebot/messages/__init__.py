"""Messages that callers leave: the function that takes them, and how they are never lost."""

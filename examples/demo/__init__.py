"""What `make demo` shows: one part after the other, each an example of its own, then one table."""

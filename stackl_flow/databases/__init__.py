"""Access to SQL databases for the key-value stores and for persistence."""

"""Where calls are performed."""

"""What is remembered of flows: books of flow details, and the backends that keep them."""

"""TaskFlow's `taskflow.types`, as far as no room of the house has them."""

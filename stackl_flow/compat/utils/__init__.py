"""TaskFlow's `taskflow.utils`, as far as programs really import them."""

"""TaskFlow's `taskflow.conductors`."""

"""TaskFlow's `taskflow.conductors`: ours, by its names and arguments."""

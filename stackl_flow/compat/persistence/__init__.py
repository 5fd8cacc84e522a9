"""TaskFlow's `taskflow.persistence`: backends with TaskFlow's names and settings."""

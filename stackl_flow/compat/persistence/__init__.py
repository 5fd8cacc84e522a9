"""TaskFlow's `taskflow.persistence`: backends by TaskFlow's names and settings."""

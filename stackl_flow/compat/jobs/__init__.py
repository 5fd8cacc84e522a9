"""TaskFlow's `taskflow.jobs`: boards with TaskFlow's names and settings."""

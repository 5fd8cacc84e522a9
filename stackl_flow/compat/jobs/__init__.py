"""TaskFlow's `taskflow.jobs`: boards by its names and settings."""

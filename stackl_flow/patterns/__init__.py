"""The shapes that flows come in."""

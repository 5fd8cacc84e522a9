"""The modules of `taskflow.utils` that programs import."""

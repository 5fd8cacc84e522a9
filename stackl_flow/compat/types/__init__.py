"""The modules of `taskflow.types` without a counterpart elsewhere in this library."""

"""Where items are kept: JSON texts under ordered keys, in one place, written by one verb."""

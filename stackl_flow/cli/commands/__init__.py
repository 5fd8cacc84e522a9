"""The commands, one module a handful; each only asks the desk and prints."""

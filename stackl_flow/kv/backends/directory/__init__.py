"""A key-value store in one directory, for the processes of one machine."""

from stackl_flow.kv.backends.directory.store import DirectoryKV

__all__ = ["DirectoryKV"]

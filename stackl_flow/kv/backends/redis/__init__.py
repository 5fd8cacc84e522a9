"""A place of items in a Redis server or cluster."""

from stackl_flow.kv.backends.redis.store import RedisKV

__all__ = ["RedisKV"]

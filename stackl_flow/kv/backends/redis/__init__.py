"""A key-value store on a Redis server or cluster."""

from stackl_flow.kv.backends.redis.store import RedisKV

__all__ = ["RedisKV"]

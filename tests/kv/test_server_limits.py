"""Servers with lower limits than by default: what is too large is never taken for a lost connection."""

import uuid

import pytest
import redis

from stackl_flow import engines, task
from stackl_flow import exceptions as exc
from stackl_flow.jobboards import backends as boards
from stackl_flow.kv import backends
from stackl_flow.kv.items import Check, Put
from stackl_flow.patterns import linear_flow, unordered_flow
from stackl_flow.persistence import backends as persistence

#: Bytes.
LIMIT = 200_000

pytestmark = pytest.mark.timeout(200)


class Big(task.Task):
    def __init__(self, name, size, log):
        super().__init__(name)
        self.size, self.log = size, log

    def execute(self):
        self.log.append(f"+{self.name}")
        return "x" * self.size

    def revert(self, **_):
        self.log.append(f"-{self.name}")


@pytest.fixture(params=["etcd", "zookeeper"])
def server(request, new_server, monkeypatch):
    """The URL of a server with a limit, and an option that names it."""
    if request.param == "etcd":
        return f"{new_server('etcd', f'--max-request-bytes={LIMIT}').url}/x", f"max_request_bytes={LIMIT}"
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", f"-Djute.maxbuffer={LIMIT}")
    return f"{new_server('zookeeper').url}/x", f"jute_maxbuffer={LIMIT}"


def test_the_limit_is_known_from_the_url(server):
    url, option = server
    with backends.fetch(f"{url}?{option}") as kv:
        assert kv.limits.value < LIMIT
        kv.commit(puts=[Put("a", "x" * kv.limits.value)])
        version = kv.get("a").version
        kv.commit([Check("a", version)], [Put("a", "y" * kv.limits.value)])
        with pytest.raises(exc.ValueTooLarge) as caught:
            kv.commit(puts=[Put("a", "x" * (kv.limits.value + 1))])
        assert caught.value.limit == kv.limits.value


def test_the_limit_is_found_out(server):
    url, _ = server
    with backends.fetch(f"{url}?timeout=3") as kv:
        kv.commit(puts=[Put("a", "1")])
        with pytest.raises(exc.ValueTooLarge, match="max") as caught:
            kv.commit(puts=[Put("a", "x" * (2 * LIMIT))])
        assert caught.value.size >= 2 * LIMIT
        assert not isinstance(caught.value, exc.StorageFailure)
        assert kv.get("a").value == "1"
        assert kv.limits.commit < 2 * LIMIT
        kv.commit(puts=[Put("a", "2")])


def test_flows_with_large_results(server):
    url, option = server
    with persistence.backend(f"{url}?{option}") as backend:
        log = []
        flow = linear_flow.Flow("f").add(
            unordered_flow.Flow("all").add(*(Big(f"t{n}", LIMIT // 4, log) for n in range(12))),
            Big("big", LIMIT, log),
        )
        with pytest.raises(exc.ValueTooLarge, match="atom 'big'"):
            engines.run(flow, backend=backend, engine="parallel", max_workers=12)
        assert sorted(log) == sorted(
            sign + name for name in [f"t{n}" for n in range(12)] + ["big"] for sign in "+-"
        )


def test_results_that_arrive_together_where_the_limit_is_not_known(server):
    url, _ = server
    with persistence.backend(f"{url}?timeout=3") as backend:
        log = []
        flow = unordered_flow.Flow("all").add(*(Big(f"t{n}", LIMIT // 8, log) for n in range(24)))
        engines.run(flow, backend=backend, engine="parallel", max_workers=24)
        assert sorted(log) == sorted(f"+t{n}" for n in range(24))


def test_outcomes_where_the_limit_is_not_known(server):
    url, _ = server
    with boards.backend("b", f"{url}?timeout=3") as board:
        for batch in (False, True):
            job = board.claim(board.post("one"), "me")
            outcome = {"state": "SUCCESS", "result": {"r": "x" * 2 * LIMIT}}
            if batch:
                from stackl_flow.jobboards.base import JobCompletion

                assert (
                    board.complete_and_claim("me", [JobCompletion(job, "consumed", outcome)]).rejected == ()
                )
            else:
                board.consume(job, "me", outcome)
            assert board.get_snapshot(job).state == "failed"
            assert board.job_count == 0


def test_redis(new_server):
    server = new_server("redis", "--proto-max-bulk-len", "1mb")
    with backends.fetch(f"{server.url}?namespace={uuid.uuid4()}&timeout=3") as kv:
        kv.commit(puts=[Put("a", "1")])
        assert kv.limits.value == 1 << 20
        with pytest.raises(exc.ValueTooLarge) as caught:
            kv.commit(puts=[Put("a", "x" * ((1 << 20) + 1))])
        assert caught.value.limit == 1 << 20
        kv.commit(puts=[Put("a", "x" * (1 << 20))])


def test_redis_whose_settings_are_not_readable(new_server):
    server = new_server("redis", "--proto-max-bulk-len", "1mb")
    with redis.Redis.from_url(server.url) as admin:
        admin.execute_command("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-config")
    url = server.url.replace("redis://", "redis://app:secret@")
    with backends.fetch(f"{url}?namespace={uuid.uuid4()}&timeout=3") as kv:
        kv.commit(puts=[Put("a", "1")])
        with pytest.raises(exc.ValueTooLarge, match="proto-max-bulk-len") as caught:
            kv.commit(puts=[Put("a", "x" * (2 << 20))])
        assert caught.value.size >= 2 << 20
        assert kv.get("a").value == "1"


def test_mariadb(new_server):
    server = new_server("mysql", "--max-allowed-packet=1M")
    url = server.url
    with backends.fetch(url) as kv:
        kv.commit(puts=[Put("a", "1")])
        limit = kv.limits.value
        assert limit < 1 << 20
        for value in ("x" * (limit + 1), '"' * (limit // 2 + 1)):
            with pytest.raises(exc.ValueTooLarge) as caught:
                kv.commit(puts=[Put("a", value)])
            assert caught.value.limit == limit
        kv.commit(puts=[Put("a", "x" * limit)])
    with persistence.backend(url) as backend:
        log = []
        flow = linear_flow.Flow("f").add(Big("a", 10, log), Big("big", 1 << 20, log))
        with pytest.raises(exc.ValueTooLarge, match="atom 'big'"):
            engines.run(flow, backend=backend)
        assert log == ["+a", "+big", "-big", "-a"]
        with pytest.raises(exc.ValueTooLarge, match="input 'blob'"):
            engines.load(flow, store={"blob": "x" * (1 << 20)}, backend=backend)

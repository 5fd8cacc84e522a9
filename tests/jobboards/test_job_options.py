"""Options of ``post`` and of boards, and mistakes in them."""

import datetime as dt

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.conductors import Conductor
from stackl_flow.jobboards import backends
from stackl_flow.persistence import backends as stores
from stackl_flow.submission import post_flow


@pytest.fixture
def board():
    with backends.backend("board", "memory://") as board:
        yield board


def test_a_single_capability_may_be_a_string(board):
    assert board.post("job", required_capabilities="gpu").record.required_capabilities == ("gpu",)
    assert board.post("job", required_capabilities=["gpu", "disk"]).record.required_capabilities == (
        "gpu",
        "disk",
    )


def test_a_time_may_be_a_datetime(board):
    at = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
    record = board.post("job", not_before=at, expires_at=at.timestamp()).record
    assert record.not_before == record.expires_at == at.timestamp()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"not_bfore": 3}, TypeError, "did you mean 'not_before'"),
        ({"colour": 3}, TypeError, "options are expires_at, key, not_before, required_capabilities, uuid"),
        ({"not_before": dt.datetime(2100, 1, 1)}, ValueError, "zone"),  # noqa: DTZ001  the mistake
        ({"expires_at": "tomorrow"}, TypeError, "seconds since 1970"),
        ({"not_before": True}, TypeError, "seconds since 1970"),
        ({"required_capabilities": [1]}, TypeError, "takes names"),
        ({"required_capabilities": 3}, TypeError, "takes names"),
        ({"details": [1]}, TypeError, "takes a mapping"),
        ({"details": "size=3"}, TypeError, "takes a mapping"),
    ],
)
def test_invalid_options(board, options, error, message):
    with pytest.raises(error, match=message):
        board.post("job", **options)
    assert board.job_count == 0


@pytest.mark.parametrize(
    ("name", "conf", "message"),
    [
        ("jobs", None, "a board needs a name and a URL"),
        (None, "memory", "a board needs a name and a URL"),
        ("memory://", 3, "a board needs a name and a URL"),
        ("jobs", {"connection": "memory", "ttl": "long"}, "'ttl' of a board must be a number"),
        ("jobs", {"connection": "memory", "max_claims": "few"}, "'max_claims' of a board must be a number"),
    ],
)
def test_invalid_settings(name, conf, message):
    with pytest.raises(exc.InvalidFormat, match=message):
        backends.fetch(name, conf)


def test_swapped_arguments(board):
    with stores.backend("memory") as store:
        with pytest.raises(TypeError, match="the board first"):
            post_flow(store, board, "shop.order")
        with pytest.raises(TypeError, match="first argument of a conductor is its name"):
            Conductor(board, "ann", store)
        with pytest.raises(exc.NotFound, match="did you mean 'parallel'"):
            Conductor("ann", board, store, engine="paralel")

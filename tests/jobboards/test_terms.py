"""The terms of a post, and mistakes in them."""

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


def test_one_ability_may_be_a_word(board):
    assert board.post("job", required_capabilities="gpu").record.required_capabilities == ("gpu",)
    assert board.post("job", required_capabilities=["gpu", "disk"]).record.required_capabilities == (
        "gpu",
        "disk",
    )


def test_a_point_in_time_may_be_a_datetime(board):
    at = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
    posting = board.post("job", not_before=at, expires_at=at.timestamp()).record
    assert posting.not_before == posting.expires_at == at.timestamp()


@pytest.mark.parametrize(
    ("terms", "error", "says"),
    [
        ({"not_bfore": 3}, TypeError, "did you mean 'not_before'"),
        ({"colour": 3}, TypeError, "options are expires_at, key, not_before, required_capabilities, uuid"),
        ({"not_before": dt.datetime(2100, 1, 1)}, ValueError, "zone"),  # noqa: DTZ001  that is the mistake
        ({"expires_at": "tomorrow"}, TypeError, "seconds since 1970"),
        ({"not_before": True}, TypeError, "seconds since 1970"),
        ({"required_capabilities": [1]}, TypeError, "takes names"),
        ({"required_capabilities": 3}, TypeError, "takes names"),
        ({"details": [1]}, TypeError, "takes a mapping"),
        ({"details": "size=3"}, TypeError, "takes a mapping"),
    ],
)
def test_a_mistake_is_told_with_what_to_do(board, terms, error, says):
    with pytest.raises(error, match=says):
        board.post("job", **terms)
    assert board.job_count == 0


@pytest.mark.parametrize(
    ("name", "conf", "says"),
    [
        ("jobs", None, "a board needs a name and a URL"),
        (None, "memory", "a board needs a name and a URL"),
        ("memory://", 3, "a board needs a name and a URL"),
        ("jobs", {"connection": "memory", "ttl": "long"}, "'ttl' of a board must be a number"),
        ("jobs", {"connection": "memory", "max_claims": "few"}, "'max_claims' of a board must be a number"),
    ],
)
def test_settings_that_make_no_sense(name, conf, says):
    with pytest.raises(exc.InvalidFormat, match=says):
        backends.fetch(name, conf)


def test_what_is_easily_swapped_is_refused(board):
    with stores.backend("memory") as store:
        with pytest.raises(TypeError, match="the board first"):
            post_flow(store, board, "shop.order")
        with pytest.raises(TypeError, match="first argument of a conductor is its name"):
            Conductor(board, "ann", store)
        with pytest.raises(exc.NotFound, match="did you mean 'parallel'"):
            Conductor("ann", board, store, engine="paralel")

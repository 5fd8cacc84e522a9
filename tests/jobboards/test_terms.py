"""The terms of a post, and mistakes in them."""

import datetime as dt

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.conductors import Conductor, post_flow
from stackl_flow.jobboards import backends
from stackl_flow.persistence import backends as stores


@pytest.fixture
def board():
    with backends.backend("board", "memory://") as board:
        yield board


def test_one_ability_may_be_a_word(board):
    assert board.post("job", needs="gpu").posting.needs == ("gpu",)
    assert board.post("job", needs=["gpu", "disk"]).posting.needs == ("gpu", "disk")


def test_a_point_in_time_may_be_a_datetime(board):
    at = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
    posting = board.post("job", not_before=at, claim_by=at.timestamp()).posting
    assert posting.not_before == posting.claim_by == at.timestamp()


@pytest.mark.parametrize(
    ("terms", "error", "says"),
    [
        ({"not_bfore": 3}, TypeError, "did you mean not_before"),
        ({"colour": 3}, TypeError, "it takes claim_by, key, needs, not_before, uuid"),
        ({"not_before": dt.datetime(2100, 1, 1)}, ValueError, "zone"),  # noqa: DTZ001  that is the mistake
        ({"claim_by": "tomorrow"}, TypeError, "seconds since 1970"),
        ({"not_before": True}, TypeError, "seconds since 1970"),
        ({"needs": [1]}, TypeError, "names of abilities"),
        ({"needs": 3}, TypeError, "names of abilities"),
        ({"details": [1]}, TypeError, "values by name"),
        ({"details": "size=3"}, TypeError, "values by name"),
    ],
)
def test_a_mistake_is_told_with_what_to_do(board, terms, error, says):
    with pytest.raises(error, match=says):
        board.post("job", **terms)
    assert board.job_count == 0


@pytest.mark.parametrize(
    ("name", "conf", "says"),
    [
        ("jobs", None, "a board needs a name and an address"),
        (None, "memory", "a board needs a name and an address"),
        ("memory://", 3, "a board needs a name and an address"),
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
        with pytest.raises(TypeError, match="begins with its name"):
            Conductor(board, "ann", store)
        with pytest.raises(exc.NotFound, match="did you mean 'parallel'"):
            Conductor("ann", board, store, engine="paralel")

"""Common mistakes of new users: each error says what to do instead."""

import logging
import re

import pytest

from stackl_flow import (
    ForEach,
    FunctorTask,
    GraphFlow,
    LinearFlow,
    Task,
    Times,
    UnorderedFlow,
    engines,
    states,
)
from stackl_flow import exceptions as exc
from stackl_flow.persistence import factory as books
from tests.engines.tasks import Keep, Step, final_state


def nothing():
    """Return nothing, like a factory without a return statement."""


def seven():
    """Return something other than a flow."""
    return 7


class Unready(Task):
    """Has an ``__init__`` that does not call ``super().__init__``."""

    def __init__(self, size):
        self.size = size

    def execute(self):
        pass


@pytest.mark.parametrize("make", [LinearFlow, UnorderedFlow, GraphFlow])
def test_task_instead_of_the_flow_name(make, log):
    with pytest.raises(
        exc.NotAnAtom, match=r"the first argument of Flow is its name, not .*a==1.0.*Flow\('name'\)\.add"
    ):
        make(Step("a", log))


@pytest.mark.parametrize("wrong", [3, Times, "Times(3)"])
def test_object_instead_of_a_retry(wrong):
    with pytest.raises(exc.NotAnAtom, match=r"retry= of flow 'f' takes a retry such as Times\(3\), not "):
        LinearFlow("f", retry=wrong)


def test_task_instead_of_a_retry(log):
    with pytest.raises(
        exc.NotAnAtom, match=r"retry= of flow 'f' takes a retry such as Times\(3\), not .*a==1.0"
    ):
        engines.run(LinearFlow("f", retry=Step("a", log)).add(Step("b", log)))
    assert log == []


def test_retry_among_the_tasks():
    with pytest.raises(exc.NotAnAtom, match="pass it to the flow as retry="):
        engines.run(LinearFlow("f").add(Times(3)))


def test_list_of_tasks(log):
    with pytest.raises(exc.NotAnAtom, match=r"add\(\*items\)"):
        LinearFlow("f").add([Step("a", log), Step("b", log)])


@pytest.mark.parametrize("make", [LinearFlow, UnorderedFlow, GraphFlow])
def test_task_without_super_init(make):
    with pytest.raises(
        exc.NotAnAtom, match=r"cannot add to flow 'f': Unready.__init__ did not run: call super\(\).__init__"
    ):
        make("f").add(Unready(3))


def test_lone_task_without_super_init(backend):
    with pytest.raises(exc.NotAnAtom, match=r"Unready.__init__ did not run"):
        engines.run(Unready(3))
    with pytest.raises(exc.NotAnAtom, match=r"Unready.__init__ did not run"):
        engines.run(Unready(3), backend=backend)


@pytest.mark.parametrize("wrong", [None, Step, lambda: LinearFlow("f"), Times(3), "f"])
def test_object_instead_of_a_flow_stores_nothing(backend, wrong):
    with pytest.raises(exc.NotAnAtom, match="not a task or flow: "):
        engines.run(wrong, backend=backend)
    with backend.get_connection() as connection:
        assert connection.list_flow_records() == []


def test_task_without_execute_cannot_be_instantiated():
    class Misspelt(Task):
        def exceute(self):
            pass

    with pytest.raises(TypeError, match=r"Misspelt.*execute"):
        Misspelt("a")


@pytest.mark.parametrize("wrong", [["x"], "x=1", 3])
def test_store_that_is_not_a_dict(backend, wrong):
    with pytest.raises(TypeError, match=r"store= must be a dict of values by name"):
        engines.load(LinearFlow("f"), store=wrong, backend=backend)
    with backend.get_connection() as connection:
        assert connection.list_flow_records() == [], "nothing is left behind"


def test_inject_that_is_not_a_dict():
    with pytest.raises(TypeError, match=r"inject= of atom a takes a dict"):
        FunctorTask(lambda x: x, name="a", inject=["x"])


def test_attempts_as_text():
    with pytest.raises(TypeError, match="attempts must be an integer, not '3'"):
        Times("3")


@pytest.mark.parametrize("wrong", [3, None, engines.Engine])
def test_engine_that_is_not_a_name(wrong):
    with pytest.raises(TypeError, match="engine= must be a name such as 'parallel'"):
        engines.load(LinearFlow("f"), engine=wrong)


def test_misspelled_engine():
    message = r"'paralel': did you mean 'parallel'\? Known engines are default, parallel, serial"
    with pytest.raises(exc.NotFound, match=message):
        engines.load(LinearFlow("f"), engine="paralel")


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (
            "parallel",
            {"max_worker": 2},
            "unknown engine option 'max_worker' is ignored: did you mean 'max",
        ),
        ("serial", {"max_workers": 2}, "unknown engine option 'max_workers' .* requires engine='parallel'"),
        ("serial", {"never_resolved": True}, "did you mean 'never_resolve'"),
        ("parallel://?max_worker=2", {}, "did you mean 'max_workers'"),
        ("serial", {"colour": "red"}, "known options are clock, defer_reverts"),
    ],
)
def test_unknown_option_logs_a_warning(caplog, log, kind, options, message):
    with caplog.at_level(logging.WARNING):
        engine = engines.load(LinearFlow("f").add(Step("a", log)), engine=kind, **options)
    (record,) = caplog.records
    assert re.search(message, record.getMessage())
    assert final_state(engine) == states.SUCCESS


def test_known_options_log_no_warning(caplog, log):
    with caplog.at_level(logging.WARNING):
        engines.run(Step("a", log), engine="parallel", max_workers=2, executor="threads", never_resolve=True)
    assert caplog.records == []


@pytest.mark.parametrize("wrong", ["many", 0, -1, [2]])
def test_invalid_max_workers(wrong):
    with pytest.raises(ValueError, match=r"max_workers must be a positive integer, not "):
        engines.load(LinearFlow("f"), engine="parallel", max_workers=wrong)


def test_uuid_instead_of_a_flow_detail(backend, log):
    flow = LinearFlow("f").add(Step("a", log))
    uuid = books.create_flow_detail(flow, backend=backend).uuid
    with pytest.raises(TypeError, match=rf"not a uuid \('{uuid}'\): get it with connection.get_flow_details"):
        engines.load(flow, flow_detail=uuid, backend=backend)
    with pytest.raises(TypeError, match=rf"not a uuid \('{uuid}'\): get it with connection.get_flow_details"):
        engines.load_from_detail(uuid, backend=backend)


@pytest.mark.parametrize(("factory", "what"), [(nothing, "None"), (seven, "an int")])
def test_factory_that_does_not_return_a_flow(backend, factory, what):
    with pytest.raises(exc.NotAnAtom, match=rf"{factory.__name__}' returned {what} instead of a flow"):
        engines.load_from_factory(factory, backend=backend)
    with backend.get_connection() as connection:
        assert connection.list_flow_records() == []


def test_flow_instead_of_its_factory(backend):
    with pytest.raises(ValueError, match="is not a flow factory: pass a function that returns a flow"):
        engines.load_from_factory(LinearFlow("f"), backend=backend)


@pytest.mark.parametrize("kind", ["serial", "parallel"])
def test_async_execute_fails(log, kind):
    class Later(Task):
        async def execute(self):
            log.append("never")

    engine = engines.load(LinearFlow("f").add(Step("a", log), Later("b")), engine=kind)
    with pytest.raises(exc.NotSupported, match=r"'execute' of atom 'b' is async.*asyncio\.run"):
        engine.run()
    assert log == ["a", "-a"]


def test_incomplete_result_logs_a_warning(load, caplog, log):
    flow = LinearFlow("f").add(
        Step("one", log, result=1, provides=("a", "b")),
        Step("pair", log, result=(1, 2), provides=("c", "d")),
        Step("keys", log, result={"e": 1}, provides={"e", "g"}),
    )
    with caplog.at_level(logging.WARNING):
        assert final_state(load(flow)) == states.SUCCESS
    assert [record.getMessage() for record in caplog.records] == [
        "atom 'one' should provide 'a' as result[0], but its result does not contain it: int",
        "atom 'one' should provide 'b' as result[1], but its result does not contain it: int",
        "atom 'keys' should provide 'g' as result['g'], but its result does not contain it: dict",
    ]


def test_string_as_requires_and_as_values_of_a_retry():
    keep = Keep("a", requires="word")
    engines.run(LinearFlow("f", retry=ForEach("xy", provides="word")).add(keep))
    assert keep.executed == [{"word": "x"}]

"""The formatter of failures."""

import contextlib

import pytest

from stackl_flow import FunctorTask, GraphFlow, LinearFlow, UnorderedFlow, engines, retry, states, task
from stackl_flow.failure import Failure
from stackl_flow.formatters import FailureFormatter, mask
from stackl_flow.persistence import backends, factory


class Failing(task.Task):
    """Fails, whatever its arguments are."""

    def execute(self, **kwargs):
        raise ValueError("broken")


def gives(name, value, requires=(), provides=None):
    return FunctorTask(lambda **_: value, name=name, requires=requires, provides=provides or name)


def named(name):
    return lambda node: node.item.name == name


def format_failure(flow, atom="broken", store=None, **kwargs):
    """Run a flow until an atom fails, and return the formatted failure."""
    engine = engines.load(flow, store=store)
    formatter = FailureFormatter(engine, **kwargs)
    found = []

    def tell(state, details):
        found.append(formatter.format(details["result"], named(atom)))

    engine.atom_notifier.register("FAILURE", tell)
    with contextlib.suppress(ValueError):
        engine.run()
    ((exc_info, text),) = found
    assert exc_info[0] is ValueError
    return text


def test_predecessors_are_listed_nearest_first():
    flow = LinearFlow("f").add(gives("a", 1), gives("b", 2, ["a"]), Failing("broken", requires=["b"]))
    assert format_failure(flow) == (
        "3 predecessors (most recent first):\n"
        "  Atom 'b' {'intention': 'EXECUTE', 'state': 'SUCCESS', 'requires': {'a': 1}, 'provides': 2}\n"
        "  |__Atom 'a' {'intention': 'EXECUTE', 'state': 'SUCCESS', 'requires': {}, 'provides': 1}\n"
        "     |__Flow 'f'"
    )


def test_predecessors_include_flows_and_retries():
    inner = LinearFlow("inner", retry=retry.Times(1, "r")).add(gives("a", 1))
    text = format_failure(LinearFlow("f").add(inner, Failing("broken")))
    assert [line.split(" {")[0] for line in text.splitlines()[1:]] == [
        "  Atom 'a'",
        "  |__Atom 'r'",
        "     |__Flow 'inner'",
        "        |__Flow 'f'",
    ]


def test_predecessor_on_several_paths_is_shown_in_full_once():
    source, left, right = gives("source", 0), gives("left", 1, ["source"]), gives("right", 2, ["source"])
    flow = GraphFlow("f").add(source, left, right, Failing("broken", requires=["left", "right"]))
    lines = [line.split(" {")[0] for line in format_failure(flow).splitlines()]
    assert lines in (
        ["4 predecessors (most recent first):",
         f"  Atom '{one}'", "  |__Atom 'source'", "     |__Flow 'f'",
         f"  Atom '{other}'", "  |__Atom 'source' (shown above)"]
        for one, other in (("left", "right"), ("right", "left"))
    )  # fmt: skip


def test_predecessors_are_drawn_as_a_tree():
    inner = UnorderedFlow("inner").add(gives("a", 1), gives("b", 2))
    flow = LinearFlow("f").add(inner, gives("c", 3), Failing("broken"))
    lines = [line.split(" {")[0] for line in format_failure(flow).splitlines()]
    assert lines == [
        "5 predecessors (most recent first):",
        "  Atom 'c'",
        "  |__Atom 'a'",
        "  |  |__Flow 'inner'",
        "  |     |__Flow 'f'",
        "  |__Atom 'b'",
        "     |__Flow 'inner' (shown above)",
    ]


def test_cost_is_linear_for_exponentially_many_paths():
    flow = LinearFlow("f")
    for number in range(40):  # 2 ** 40 paths lead through this
        flow.add(UnorderedFlow(f"u{number}").add(gives(f"a{number}", 1), gives(f"b{number}", 1)))
    text = format_failure(flow.add(Failing("broken")), max_predecessors=1000)
    assert text.startswith("121 predecessors")
    assert len(text.splitlines()) < 250


def test_max_predecessors_limits_the_list():
    flow = LinearFlow("f").add(*(gives(f"a{number}", number) for number in range(150)), Failing("broken"))
    lines = format_failure(flow, max_predecessors=3).splitlines()
    assert lines[0] == "151 predecessors (most recent first):"
    assert [line.split("'")[1] for line in lines[1:-1]] == ["a149", "a148", "a147"]
    assert lines[-1] == "  and 148 further back"


def test_atom_without_predecessors():
    assert format_failure(Failing("broken")) == "0 predecessors (most recent first):"


def test_inputs_and_outputs_of_some_atoms_are_hidden():
    flow = LinearFlow("f").add(gives("a", "secret"), gives("b", 2, ["a"]), Failing("broken"))
    lines = format_failure(flow, hide_inputs_outputs_of=["a"]).splitlines()
    assert lines[2] == "  |__Atom 'a' {'intention': 'EXECUTE', 'state': 'SUCCESS'}"
    assert "'requires': {'a': 'secret'}" in lines[1]


def test_values_are_masked_by_key_and_by_name():
    login = {"user": "me", "password": "s3cret", "further": [{"password": "s3cret"}]}
    flow = LinearFlow("f").add(
        gives("login", login),
        gives("token", "s3cret", ["login"], provides="token"),
        gives("pair", ("x", "s3cret"), provides=("plain", "token2")),
        FunctorTask(lambda key: None, name="use", rebind={"key": "token"}),
        Failing("broken"),
    )
    text = format_failure(
        flow, mask_inputs_keys=["password", "token"], mask_outputs_keys=["password", "token", "token2"]
    )
    assert "s3cret" not in text
    for shown in (
        "'provides': {'user': 'me', 'password': '***', 'further': [{'password': '***'}]}",
        "'requires': {'login': {'user': 'me', 'password': '***', 'further': [{'password': '***'}]}}",
        "'provides': '***'",
        "'provides': ('x', '***')",
        "'requires': {'key': '***'}",
    ):
        assert shown in text


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ({}, {}),
        ([], []),
        ("key", "key"),
        (None, None),
        ({"key": None, "a": 1}, {"key": "***", "a": 1}),
        (({"key": 1}, [{"b": {"key": 2}}]), ({"key": "***"}, [{"b": {"key": "***"}}])),
    ],
)
def test_masking(data, shown):
    assert mask(data, ["key"]) == shown


def test_masking_does_not_change_its_input():
    data = {"key": 1, "in": [{"key": 2}]}
    mask(data, ["key"])
    assert data == {"key": 1, "in": [{"key": 2}]}


def test_predecessors_are_omitted_once_the_flow_is_reverted():
    engine = engines.load(LinearFlow("f").add(gives("a", 1), Failing("broken")))
    with contextlib.suppress(ValueError):
        engine.run()
    (fail,) = engine.storage.get_execute_failures().values()
    assert FailureFormatter(engine).format(fail, named("broken")) == (fail.exc_info, "")


def test_stored_failure_is_formatted_with_its_traceback():
    with backends.backend("memory") as backend:
        flow = LinearFlow("f").add(gives("a", 1), Failing("broken"))
        detail = factory.create_flow_detail(flow, backend=backend)
        with contextlib.suppress(ValueError):
            engines.run(flow, flow_detail=detail, backend=backend, never_resolve=True)
        with backend.get_connection() as connection:
            again = connection.get_flow_details(detail.uuid)
        engine = engines.load(flow, flow_detail=again, backend=backend, never_resolve=True)
        engine.compile()
        engine.prepare()
        assert engine.storage.get_atom_state("broken") == states.FAILURE
        (fail,) = engine.storage.get_execute_failures().values()
        exc_info, text = FailureFormatter(engine).format(fail, named("broken"))
    assert exc_info is None
    assert text.startswith("Failure: ValueError: broken\nTraceback (most recent call last):\n")
    assert "\n    raise ValueError(\"broken\")\n2 predecessors (most recent first):\n  Atom 'a' {" in text


def test_failure_only_before_the_flow_is_compiled():
    engine = engines.load(Failing("broken"))
    fail = Failure.from_exception(ValueError("x"))
    assert FailureFormatter(engine).format(fail, named("broken")) == (fail.exc_info, "")


def test_unmatched_atom_has_no_predecessors():
    engine = engines.load(Failing("broken"))
    engine.compile()
    engine.prepare()
    fail = Failure.from_exception(ValueError("x"))
    assert FailureFormatter(engine).format(fail, named("other")) == (fail.exc_info, "")

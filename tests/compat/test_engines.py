"""Engines under TaskFlow's names: their options, and what is stored before they run."""

import pytest

PROGRAM = """
    from stackl_flow import compat
    compat.install()
    from taskflow import engines, task
    from taskflow.patterns import linear_flow
    from taskflow.persistence import backends
    from taskflow.utils import misc

    def make(word):
        return linear_flow.Flow("f").add(task.FunctorTask(lambda said: said + word, name="w", provides="all"))
"""


@pytest.fixture
def program(python):
    """Return a function that runs code after the common prelude."""

    def run(code):
        return python(f"{PROGRAM}\n{code}")

    return run


def test_precedence_of_engine_options(program):
    """Keyword arguments come first, then the parts of the URI, then its parameters."""
    assert program("""
    from taskflow.engines.action_engine import engine as action_engine

    class Mine(action_engine.SerialActionEngine):
        def __init__(self, flow, flow_detail, backend, options):
            print({word: options[word] for word in sorted(options)})
            super().__init__(flow, flow_detail, backend, {})

    action_engine.SerialActionEngine = Mine
    engines.load(make("x"), engine="serial://ann:pw@host:12/way?hostname=no&port=1&never_resolve=yes&owner=me",
                 owner="you")
    """) == [str({"hostname": "host:12", "never_resolve": "yes", "owner": "you", "password": "pw", "port": 12,
                  "username": "ann"})]  # fmt: skip


def test_a_flow_of_a_factory_is_stored_in_one_write(program):
    """A crash between two writes would leave an incomplete flow."""
    assert program("""
    with backends.backend("memory") as backend:
        real = backend.get_connection

        def get_connection():
            conn = real()
            conn.update_flow_details = None  # a second write would fail
            return conn

        backend.get_connection = get_connection
        engine = engines.load_from_factory(make, ["!"], store={"said": "hello"}, backend=backend)
        with real() as conn:
            stored = conn.get_flow_details(engine.storage.flow_uuid)
        print(stored.meta["factory"])
        backend.get_connection = real
        again = engines.load_from_detail(stored, backend=backend)
        again.run()
        print(again.storage.fetch("all"))
    """) == [
        "{'name': '__main__.make', 'args': ['!'], 'kwargs': {}}",
        "hello!",
    ]


def test_compiling_something_else_than_a_flow_is_an_error(program):
    assert program("""
    engine = engines.load("flow", store={"a": 1}, backend=backends.fetch("memory"))
    try:
        engine.compile()
    except TypeError as error:
        print("refused")
    """) == ["refused"]

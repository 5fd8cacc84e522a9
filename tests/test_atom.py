"""Inputs and outputs of atoms, read from their signatures."""

import functools

import pytest

from stackl_flow import task
from stackl_flow.atom import Atom


class Two(task.Task):
    def execute(self, a, b):
        pass


class Open(task.Task):
    def execute(self, a, b, c=1, *args, **kwargs):
        pass


class Undo(task.Task):
    def execute(self, a):
        pass

    def revert(self, result, flow_failures, z, y=2):
        pass


def test_required_and_optional_inputs_come_from_the_signature():
    atom = Open("o")
    assert atom.requires == {"a", "b"}
    assert atom.optional == {"c"}
    assert atom.rebind == {"a": "a", "b": "b", "c": "c"}
    assert atom.provides == frozenset()


def test_revert_adds_inputs_and_result_and_flow_failures_are_no_inputs():
    atom = Undo("u")
    assert atom.requires == {"a", "z"}
    assert atom.optional == frozenset()
    assert atom.revert_optional == {"y"}
    assert atom.revert_rebind == {"z": "z", "y": "y"}
    assert atom.rebind == {"a": "a"}


@pytest.mark.parametrize(
    ("rebind", "requires", "bindings"),
    [
        (["x"], {"x", "b"}, {"a": "x", "b": "b"}),
        (("x", "y"), {"x", "y"}, {"a": "x", "b": "y"}),
        ({"b": "y"}, {"a", "y"}, {"a": "a", "b": "y"}),
        ({}, {"a", "b"}, {"a": "a", "b": "b"}),
        (None, {"a", "b"}, {"a": "a", "b": "b"}),
    ],
)
def test_rebind(rebind, requires, bindings):
    atom = Two("t", rebind=rebind)
    assert atom.requires == requires
    assert atom.rebind == bindings


@pytest.mark.parametrize(("rebind", "added"), [(["x", "y", "z"], ("z", "z")), ({"q": "x"}, ("q", "x"))])
def test_surplus_names_need_kwargs(rebind, added):
    assert Open("o", rebind=rebind).rebind[added[0]] == added[1]
    with pytest.raises(ValueError, match=rf"Extra arguments given to atom t: \['{added[0]}'\]"):
        Two("t", rebind=rebind)


@pytest.mark.parametrize("rebind", [{"x"}, "x", 5])
def test_a_rebind_of_another_type_is_an_error(rebind):
    with pytest.raises(TypeError, match="Invalid rebind value"):
        Two("t", rebind=rebind)


def test_an_optional_argument_that_is_rebound_is_required():
    atom = Open("o", rebind={"c": "x"})
    assert atom.requires == {"a", "b", "x"}
    assert atom.optional == frozenset()


@pytest.mark.parametrize("requires", ["zed", ["zed"], ("zed",), {"zed"}])
def test_explicit_requires_are_added(requires):
    assert Open("o", requires=requires).requires == {"a", "b", "zed"}


def test_explicit_requires_that_execute_does_not_accept_are_an_error():
    with pytest.raises(ValueError, match=r"atom t: \['zed'\]"):
        Two("t", requires="zed")


def test_without_auto_extract_only_requires_and_rebind_count():
    assert Two("t", auto_extract=False, requires=["a", "b"]).requires == {"a", "b"}
    assert Two("t", auto_extract=False, rebind={"a": "x", "b": "y"}).requires == {"x", "y"}
    assert Open("o", auto_extract=False, requires=["a", "b"]).optional == frozenset()


def test_without_auto_extract_a_missing_argument_is_an_error():
    with pytest.raises(ValueError, match=r"Missing arguments for atom t: \['b'\]"):
        Two("t", auto_extract=False, requires=["a"])


def test_ignored_arguments_are_not_looked_up():
    assert Two("t", ignore_list=["b"]).requires == {"a"}


def test_injected_names_are_not_required():
    assert Two("t", inject={"a": 1}).requires == {"b"}
    assert Undo("u", inject={"z": 1, "y": 2}).requires == {"a"}
    assert Undo("u", inject={"z": 1, "y": 2}).revert_optional == frozenset()


def test_revert_rebind():
    atom = Undo("u", revert_rebind={"z": "w"})
    assert atom.revert_rebind == {"z": "w", "y": "y"}
    assert atom.requires == {"a", "w"}


def test_revert_requires():
    class Free(Two):
        def revert(self, **kwargs):
            pass

    atom = Free("f", revert_requires=["z"])
    assert atom.requires == {"a", "b", "z"}
    assert atom.rebind == {"a": "a", "b": "b"}
    assert atom.revert_rebind == {"z": "z"}


@pytest.mark.parametrize(
    ("provides", "save_as"),
    [
        (None, {}),
        ("x", {"x": None}),
        (["x", "y"], {"x": 0, "y": 1}),
        (("x",), {"x": 0}),
        ({"x", "y"}, {"x": "x", "y": "y"}),
        (frozenset("x"), {"x": "x"}),
        ((), {}),
        (set(), {}),
    ],
)
def test_provides(provides, save_as):
    atom = Two("t", provides=provides)
    assert atom.save_as == save_as
    assert atom.provides == set(save_as)


def test_provides_of_another_type_is_an_error():
    with pytest.raises(TypeError, match="should be str, set or tuple/list, not 5"):
        Two("t", provides=5)


def test_default_provides():
    class Gives(Two):
        default_provides = "x"

    assert Gives("g").provides == {"x"}
    assert Gives("g", provides="y").provides == {"y"}
    assert Gives("g", provides=()).provides == frozenset()


def test_decorated_methods_are_followed():
    def traced(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs)

        return wrapper

    class Traced(task.Task):
        @traced
        def execute(self, a, b=1):
            pass

    assert Traced("t").requires == {"a"}
    assert Traced("t").optional == {"b"}


def test_static_and_class_methods():
    class Static(task.Task):
        @staticmethod
        def execute(a):
            pass

        @classmethod
        def revert(cls, z, **kwargs):
            pass

    assert Static("s").requires == {"a", "z"}


def test_str_and_repr():
    class Second(Two):
        version = (2, 1)

    assert str(Second("name")) == '"name==2.1"'
    assert repr(Two("name")) == f'<{__name__}.Two "name==1.0">'


def test_execute_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        Atom("a")


def test_defaults():
    atom = Two("t")
    assert (atom.priority, atom.version, atom.inject, atom.name) == (0, (1, 0), None, "t")
    assert [atom.pre_execute(), atom.post_execute(), atom.pre_revert(), atom.post_revert()] == [None] * 4
    assert atom.revert(anything=1) is None

"""Values survive a round trip through standard JSON text; values that cannot be encoded are named."""

import contextlib
import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import subprocess
import sys
import uuid
import zoneinfo

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackl_flow import codec
from stackl_flow import exceptions as exc


class Colour(enum.Enum):
    RED = "red"
    BOTH = ("red", 1)


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    label: str | None = None
    when: dt.date | None = None
    twice: int = dataclasses.field(init=False, default=0)


class Order(pydantic.BaseModel):
    number: int = pydantic.Field(alias="no")
    price: decimal.Decimal
    site: pydantic.HttpUrl


class Money:
    def __init__(self, text):
        self.text = text

    def __eq__(self, other):
        return type(other) is Money and other.text == self.text

    def __hash__(self):
        return hash(self.text)


@pytest.fixture(scope="module")
def own_codec():
    own = codec.Codec()
    for kind in (Colour, Level, Point, Order):
        own.register(kind)
    own.register(Money, to_json=lambda money: money.text, from_json=Money)
    return own


def same(left, right):  # noqa: PLR0911  one line per type
    """Compare values and their types; NaN equals itself."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return repr(left) == repr(right)
    if isinstance(left, dict):
        # Keys of different types may be equal (1, True, 1.0), so the order is compared, too.
        return len(left) == len(right) and all(
            same(a, b) and same(left[a], right[b]) for a, b in zip(left, right, strict=True)
        )
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dt.datetime):
        return (left, left.fold, str(left.tzinfo)) == (right, right.fold, str(right.tzinfo))
    if isinstance(left, (decimal.Decimal, dt.time)):
        return repr(left) == repr(right)
    return left == right


zones = (
    st.none() | st.just(dt.UTC) | st.sampled_from(["Europe/Berlin", "America/Lima"]).map(zoneinfo.ZoneInfo)
)
texts = st.text() | st.sampled_from(["$", "$tuple", "$type", '"$', "\U0001f600", r"\ud800", "\x00", '\\"$x'])
hashables = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers().map(lambda n: n * 10**700),
    st.floats(allow_nan=False),
    texts,
    st.binary(),
    st.decimals(allow_nan=False),
    st.uuids(),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.datetimes(timezones=zones),
    st.sampled_from(Colour),
    st.sampled_from(Level),
    st.builds(Point, x=st.integers(), label=st.none() | texts, when=st.none() | st.dates()),
    st.builds(Money, texts),
)
leaves = hashables | st.floats() | st.decimals()
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner),
        st.lists(inner).map(tuple),
        st.dictionaries(texts, inner),
        st.dictionaries(hashables | st.tuples(hashables, texts), inner),
        st.sets(hashables),
        st.frozensets(hashables),
    ),
    max_leaves=20,
)


@given(values)
def test_round_trip(own_codec, value):
    text = own_codec.encode(value)
    assert text.isascii()
    json.loads(text, parse_constant=pytest.fail)
    assert same(own_codec.decode(text), value)


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | texts, st.lists)
    | st.dictionaries(texts, st.floats())
)
def test_plain_json_is_encoded_as_it_is(value):
    text = codec.encode(value)
    assert same(codec.decode(text), value)
    if '"$' not in text:
        assert text == json.dumps(value, separators=(",", ":"))


@given(st.text())
def test_any_text_is_decoded_or_raises_invalid_format(text):
    with contextlib.suppress(exc.InvalidFormat):
        found = codec.decode(text)
        assert same(codec.decode(codec.encode(found)), found)


def test_equal_sets_have_the_same_text_for_any_hash_seed():
    code = "from stackl_flow import codec; print(codec.encode({'b', 'a', 'c', 'd', 'e'}))"
    texts = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert texts == {b'{"$set":["a","b","c","d","e"]}\n'}


def test_numbers_without_a_json_literal():
    assert (
        codec.encode([math.nan, math.inf, -math.inf])
        == '[{"$float":"nan"},{"$float":"inf"},{"$float":"-inf"}]'
    )
    assert math.isnan(codec.decode(codec.encode(math.nan)))
    assert codec.decode(codec.encode(10**5000)) == 10**5000
    assert codec.decode(codec.encode(-(10**5000))) == -(10**5000)


def test_the_time_zone_of_a_datetime_is_kept():
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    second = dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=berlin)
    found = codec.decode(codec.encode(second))
    assert (found.tzinfo, found.fold, found.utcoffset()) == (berlin, 1, dt.timedelta(hours=1))


def test_pydantic_model(own_codec):
    order = Order(no=3, price=decimal.Decimal("1.10"), site="https://example.org/")
    assert own_codec.decode(own_codec.encode({"order": [order]})) == {"order": [order]}


class Plain:
    pass


class DictSubclass(dict):
    pass


@pytest.mark.parametrize(
    ("value", "path", "type_name"),
    [
        (object(), "value ", "builtins.object"),
        ({"a": [1, {"b": Plain()}]}, "value['a'][1]['b'] ", "Plain"),
        ((1, {2: Plain()}), "value[1][2] ", "Plain"),
        ({(1, Plain()): 1}, "value.keys()[0][1] ", "Plain"),
        ({Plain()}, "an item of value ", "Plain"),
        (bytearray(b"x"), "value ", "bytearray"),
        (DictSubclass(a=1), "value ", "DictSubclass"),
        ([Colour.RED], "value[0] ", "Colour"),
        (Level.LOW, "value ", "Level"),
        (Point(1), "value ", "Point"),
        (lambda: None, "value ", "function"),
        (Plain, "value ", "builtins.type"),
    ],
)
def test_the_error_names_the_value_that_cannot_be_encoded(value, path, type_name):
    with pytest.raises(exc.NotSerializable) as caught:
        codec.encode(value)
    message = str(caught.value)
    assert message.startswith(path)
    assert type_name in message
    assert "codec.register" in message


def test_cyclic_values_are_an_error():
    cycle = {"a": []}
    cycle["a"].append(cycle)
    with pytest.raises(exc.NotSerializable, match=r"contains itself.*value\['a'\]\[0\]\['a'\]"):
        codec.encode(cycle)


def test_maximum_depth():
    value = 1
    for _ in range(codec.MAX_DEPTH):
        value = [value]
    assert codec.decode(codec.encode(value)) == value
    with pytest.raises(exc.NotSerializable, match="nested more than"):
        codec.encode([value])
    deep_and_tagged = (value[0],)
    assert codec.decode(codec.encode(deep_and_tagged)) == deep_and_tagged


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "nul",
        "[1] 2",
        '{"$uuid":"x"}',
        '{"$tuple":3}',
        '{"$type":3}',
        '{"$bytes":"?"}',
        '{"$nothing":1}',
        '{"$time":[]}',
        '{"$time":["12:00"]}',
        '{"$time":["12:00","1"]}',
        '{"$time":null}',
        '{"$datetime":["2024-01-01T00:00:00","Europe",0]}',
        '{"$datetime":["2024-01-01T00:00:00","../../etc/passwd",0]}',
        f'{{"$datetime":["2024-01-01T00:00:00","{"x" * 5000}",0]}}',
        '{"$timedelta":[1,2]}',
        '{"$timedelta":[1,2,3,4]}',
        '{"$timedelta":[1e400,0,0]}',
        '{"$decimal":[0,[1],0]}',
        '{"$decimal":"1e9999999999999999999999"}',
        '{"$tuple":"ab"}',
        '{"$set":"ab"}',
        '{"$set":[[]]}',
        '{"$dict":["ab"]}',
        '{"$dict":[["a"]]}',
        '{"$dict":[[{},1]]}',
        '{"$int":12}',
        '{"$float":true}',
        '{"$type":["Point"]}',
        '{"$type":{"a":1,"b":2}}',
        '{"$type":["Failure",{"exc_type_names":5}]}',
        '{"$type":["Failure",{"exc_type_names":[],"causes":[5]}]}',
        "9" * 5000,
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"$tuple":[' * 50_000 + "]}" * 50_000,
        r'"\ud800"',
        r'"\uD800 and more"',
        r'"\udc00\ud800"',
        r'{"\ud800x\udc00":1}',
        r'"\\\ud800"',
        '"\ud800"',
    ],
)
def test_invalid_text(text):
    with pytest.raises(exc.InvalidFormat):
        codec.decode(text)


@pytest.mark.parametrize(
    "text",
    ["\ud800", "a\udcff", "\udc00\ud800", "\ud800x\udc00", "\U0001f600\ud83d", "\\\ud800"],
    ids=ascii,
)
@pytest.mark.parametrize(
    "wrap", [lambda text: text, lambda text: {text: 1}, lambda text: (text,), lambda text: {1: {text}}]
)
def test_surrogates_without_their_partners_have_no_representation(text, wrap):
    with pytest.raises(exc.NotSerializable, match=r"surrogate that has no partner.*os\.fsencode"):
        codec.encode(wrap(text))


@given(st.text(st.characters() | st.sampled_from("\\\ud83d\ude00u8")))
def test_text_is_encoded_if_it_has_an_utf8_form(text):
    try:
        text.encode()
    except UnicodeEncodeError:
        with pytest.raises(exc.NotSerializable):
            codec.encode([text])
        with pytest.raises(exc.InvalidFormat):
            codec.decode(json.dumps([text]))
    else:
        assert codec.decode(codec.encode([text])) == [text]


class Odd:
    """Raises an error wherever it is read."""

    def __repr__(self):
        raise SystemError("no text")

    def __hash__(self):
        return 1


class OddZone(dt.tzinfo):
    def utcoffset(self, when):
        raise LookupError("no zone")


@pytest.mark.parametrize(
    "value",
    [Odd(), {Odd(): 1}, {Odd(): object()}, dt.datetime(2024, 1, 1, tzinfo=OddZone())],
    ids=["value", "key", "key of an object", "time zone"],
)
def test_errors_of_values_are_ours(value):
    own = codec.Codec()
    own.register(Odd, to_json=lambda odd: {}[odd], from_json=lambda data: {}[data])
    with pytest.raises(exc.NotSerializable):
        own.encode(value)


def test_errors_of_readers_are_ours():
    own = codec.Codec()
    own.register(Plain, to_json=lambda plain: 1, from_json=[].pop)
    with pytest.raises(exc.InvalidFormat, match="IndexError"):
        own.decode(own.encode(Plain()))


def test_value_that_changes_while_it_is_encoded():
    own, data = codec.Codec(), {"a": Plain(), "b": 1}
    own.register(Plain, to_json=lambda plain: data.setdefault(str(len(data)), 1), from_json=Plain)
    with pytest.raises(exc.NotSerializable, match="changed size during iteration"):
        own.encode(data)


def test_full_stack():
    def encode_deep_down(left):
        return encode_deep_down(left - 1) if left else codec.encode([[[[(1,)]]]])

    results = set()
    for depth in range(sys.getrecursionlimit() - 200, sys.getrecursionlimit()):
        try:
            results.add(encode_deep_down(depth))
        except exc.NotSerializable as error:
            results.add(type(error.cause))
        except RecursionError:  # the call itself
            break
    assert results <= {'[[[[{"$tuple":[1]}]]]]', RecursionError}


def test_text_with_spaces_is_decoded():
    assert codec.decode(' {"a" : [ 1 ]} \n') == {"a": [1]}


def test_decoding_an_unregistered_type_is_an_error(own_codec):
    text = own_codec.encode(Point(1))
    with pytest.raises(
        exc.InvalidFormat, match=r"'Point', which is not registered in this process: import the module"
    ):
        codec.decode(text)


def test_register_as_a_decorator():
    own = codec.Codec()

    @own.register
    @dataclasses.dataclass
    class Unnamed:
        a: int

    @own.register(name="custom")
    @dataclasses.dataclass
    class Named:
        b: tuple

    assert own.decode(own.encode([Unnamed(1), Named((1, 2))])) == [Unnamed(1), Named((1, 2))]
    assert '"$type":["custom",' in own.encode(Named(()))


def test_names_are_unique():
    own = codec.Codec()
    own.register(Colour)
    own.register(Colour)
    with pytest.raises(exc.Duplicate, match="pass another name="):
        own.register(Level, name="Colour")


def test_other_types_need_both_functions():
    with pytest.raises(TypeError, match="to_json= and from_json="):
        codec.Codec().register(Plain)


def test_the_error_names_a_failing_to_json():
    own = codec.Codec()
    own.register(Plain, to_json=lambda value: value.missing, from_json=Plain)
    with pytest.raises(
        exc.NotSerializable, match=r"value\[0\] cannot be stored: to_json of registered type 'Plain'"
    ):
        own.encode([Plain()])


def test_a_codec_can_be_wrapped():
    class Reversed:
        def encode(self, value):
            return codec.encode(value)[::-1]

        def decode(self, text):
            return codec.decode(text[::-1])

    from stackl_flow.persistence import backends, models

    with backends.backend("sqlite://", codec=Reversed()) as backend, backend.get_connection() as conn:
        book = models.LogBook("b")
        book.meta = {"secret": uuid.UUID(int=1)}
        conn.save_logbook(book)
        assert conn.get_logbook(book.uuid).meta == book.meta
        assert "terces" in conn._session.query("SELECT meta FROM logbooks")[0][0]

"""How often an engine encodes a result."""

import pytest

from stackl_flow import LinearFlow, codec, engines, retry, states
from stackl_flow.persistence import backends, factory
from tests.engines.tasks import Step


class RecordingCodec(codec.Codec):
    """A codec that records what it encodes."""

    def __init__(self):
        super().__init__()
        self.encoded = []

    def encode(self, value):
        self.encoded.append(value)
        return super().encode(value)


@pytest.fixture
def recorder():
    return RecordingCodec()


@pytest.fixture
def recording_backend(tmp_path, recorder):
    with backends.backend(f"sqlite:///{tmp_path / 'flows.db'}", codec=recorder) as made:
        yield made


def stored(flow, recording_backend):
    detail = factory.create_flow_detail(flow, backend=recording_backend)
    engines.load(flow, flow_detail=detail, backend=recording_backend).run()
    with recording_backend.get_connection() as connection:
        return list(connection.get_flow_details(detail.uuid))


def test_result_is_encoded_once(recording_backend, recorder, log):
    results = [["first"], {"second": 2}]
    flow = LinearFlow("f").add(*(Step(n, log, result=r) for n, r in zip("ab", results, strict=True)))
    atoms = stored(flow, recording_backend)
    assert [atom.results for atom in atoms] == results
    assert [[value for value in recorder.encoded if value is result] for result in results] == [
        [result] for result in results
    ]


def test_result_of_the_last_attempt_is_stored(recording_backend, log):
    class Counting(Step):
        def execute(self, **kwargs):
            super().execute(**kwargs)
            return [len(log)]

    flow = LinearFlow("f", retry.Times(3, name="r"))
    flow.add(Counting("a", log), Step("b", log, fails=2))
    atoms = {atom.name: atom for atom in stored(flow, recording_backend)}
    assert atoms["a"].state == states.SUCCESS
    assert log.count("a") == 3
    assert atoms["a"].results == [len(log) - log[::-1].index("a")]

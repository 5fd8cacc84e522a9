"""A script whose flow is made by a function of its own, for a process that multiprocessing spawns."""

import multiprocessing
import sys

from stackl_flow import LinearFlow, engines
from stackl_flow import exceptions as exc
from stackl_flow.engines.executors import wire
from stackl_flow.engines.executors.calls import EXECUTE, CallId
from stackl_flow.engines.plan import compile_flow
from tests.engines.wire_flows import WithSetting


def flow(greeting):
    return LinearFlow("of a script").add(WithSetting("greet", greeting))


def work(connection):
    wire.Receiver().perform(connection.recv(), connection.send)
    connection.send(None)


if __name__ == "__main__":
    detail = engines.load_from_factory(flow, ["hi"]).storage
    meta = {"factory": {"name": "__main__:flow", "args": ["hi"], "kwargs": {}}}
    plan = compile_flow(flow("hi"))
    source = wire.Encoder(plan, meta, wire.PROCESSES).source_of("greet")
    call = wire.CallMessage(CallId(detail.flow_uuid, "greet", EXECUTE, 1), "f", source, {"who": "you"}, None)
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=work, args=(there,))
    process.start()
    there.close()
    lines = []
    here.send(wire.encode_call(call))
    while (text := here.recv()) is not None:
        report = wire.decode_report(text)
        lines.append(f"{type(report).__name__} {getattr(report, 'result', [''])[0]}")
    process.join()
    try:
        wire.Encoder(plan, meta, wire.REMOTE)
    except exc.NotSupported as error:
        lines.append(f"refused {'script that runs here' in str(error)}")
    sys.stdout.write("\n".join(lines))

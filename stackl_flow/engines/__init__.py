"""The machine: compiles a flow, decides what runs next, has it run and remembers what happened."""

# The module of the decision has the name of a public function. Imported first, it leaves the name to the
# function; imported later, by an engine, it would take it away.
from stackl_flow.engines import scheduler as _decision  # noqa: F401  for the order alone
from stackl_flow.engines.base import Engine
from stackl_flow.engines.factories import flow_from_detail, save_factory_details
from stackl_flow.engines.helpers import (
    ENGINE_DEFAULT,
    check_engine,
    load,
    load_from_detail,
    load_from_factory,
    run,
    run_iter,
)

__all__ = [
    "ENGINE_DEFAULT",
    "Engine",
    "check_engine",
    "flow_from_detail",
    "load",
    "load_from_detail",
    "load_from_factory",
    "run",
    "run_iter",
    "save_factory_details",
]

"""The machine: compiles a flow, decides what runs next, has it run and remembers what happened."""

from stackl_flow.engines.base import Engine
from stackl_flow.engines.helpers import (
    flow_from_detail,
    load,
    load_from_detail,
    load_from_factory,
    run,
    run_iter,
    save_factory_details,
)

__all__ = [
    "Engine",
    "flow_from_detail",
    "load",
    "load_from_detail",
    "load_from_factory",
    "run",
    "run_iter",
    "save_factory_details",
]

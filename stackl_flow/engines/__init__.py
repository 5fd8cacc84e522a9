"""Engines: compile a flow, decide what runs next, run it and record what happens."""

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

"""TaskFlow's `taskflow.engines`."""

from stackl_flow.compat.engines.helpers import (
    flow_from_detail,
    load,
    load_from_detail,
    load_from_factory,
    run,
    run_iter,
    save_factory_details,
)

__all__ = [
    "flow_from_detail",
    "load",
    "load_from_detail",
    "load_from_factory",
    "run",
    "run_iter",
    "save_factory_details",
]

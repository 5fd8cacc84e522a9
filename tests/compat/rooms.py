"""Modules of TaskFlow whose rooms do not exist here yet, and what a test module needs to be loaded."""

TO_COME: dict[str, dict[str, object]] = {
    "taskflow.engines.worker_based": {},
    "taskflow.engines.worker_based.engine": {},
    "taskflow.engines.worker_based.worker": {},
    "taskflow.engines.action_engine.builder": {},
    "taskflow.engines.action_engine.runtime": {},
}

"""Modules of TaskFlow whose rooms do not exist here yet, and what a test module needs to be loaded."""

from types import SimpleNamespace

TO_COME: dict[str, dict[str, object]] = {
    "taskflow.engines.worker_based": {},
    "taskflow.engines.worker_based.engine": {},
    "taskflow.engines.worker_based.worker": {},
    "taskflow.engines.action_engine.builder": {},
    "taskflow.engines.action_engine.runtime": {},
    "taskflow.jobs": {},
    "taskflow.jobs.backends": {},
    "taskflow.jobs.backends.impl_zookeeper": {"ZookeeperJobBoard": SimpleNamespace(MIN_ZK_VERSION=(3, 4, 0))},
}

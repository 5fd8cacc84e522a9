"""Excluded tests and names of TaskFlow, each with its reason.

An entry names a module and a test, or a class for all its tests. "It fails" is not a reason. An excluded test
that passes or does not exist is an error.
"""

_MACHINE = "steps through the state machine and runtime of TaskFlow's engine; stackl_flow has neither"
_INJECTOR = (
    "counts the atom that stores injected values in TaskFlow; stackl_flow stores them in the flow's metadata"
)
_CACHE = "clears TaskFlow's private cache of failures; stackl_flow keeps the failure itself"
_WORKERS = "runs on TaskFlow's workers; remote execution uses Celery, Dask or Ray"

_CLIENT = "checks the arguments of TaskFlow's Redis client; stackl_flow creates its client differently"

_NODES = "reads or changes TaskFlow's ZooKeeper nodes of a board; stackl_flow has other nodes"
_KAZOO = "makes a method fail that stackl_flow's board does not call"
_ETCD = "checks the calls of TaskFlow's board on a mock client; stackl_flow makes other calls"
_ETCD_KEYS = "tests methods of TaskFlow's board that stackl_flow does not have"

EXCLUDED_TESTS: dict[tuple[str, str], str] = {
    ("action_engine.test_builder", "BuildersTest"): _MACHINE,
    ("test_storage", "StorageMemoryTest.test_many_thread_inject"): _INJECTOR,
    ("test_storage", "StorageMemoryTest.test_save_and_get_non_cached_failure"): _CACHE,
    ("test_storage", "StorageSQLTest.test_many_thread_inject"): _INJECTOR,
    ("test_storage", "StorageSQLTest.test_save_and_get_non_cached_failure"): _CACHE,
    ("test_engines", "WorkerBasedEngineTest"): _WORKERS,
    ("test_listeners", "TestClaimListener"): _NODES,
    ("jobs.test_zk_job", "ZookeeperJobboardTest.test_posting_dates"): _KAZOO,
    ("jobs.test_zk_job", "ZookeeperJobboardTest.test_posting_no_post"): _KAZOO,
    ("jobs.test_zk_job", "ZookeeperJobboardTest.test_posting_owner_lost"): _NODES,
    ("jobs.test_zk_job", "ZookeeperJobboardTest.test_posting_received_raw"): _NODES,
    ("jobs.test_zk_job", "ZookeeperJobboardTest.test_posting_state_lock_lost"): _NODES,
    ("jobs.test_zk_job", "ZookeeperJobboardTest.test_register_entity"): _NODES,
    ("jobs.test_zk_job", "ZookeeperJobboardTest.test_trashing_claimed_job"): _NODES,
    ("jobs.test_etcd_job", "MockedEtcdJobBoard"): _ETCD,
    ("jobs.test_etcd_job", "EtcdJobBoardTest.test__incr"): _ETCD_KEYS,
    ("jobs.test_etcd_job", "EtcdJobBoardTest.test_get_one"): _ETCD_KEYS,
    ("jobs.test_redis_job", "RedisJobboardTest.test__make_client"): _CLIENT,
    ("jobs.test_redis_job", "RedisJobboardTest.test__make_client_retry_health"): _CLIENT,
    ("jobs.test_redis_job", "RedisJobboardTest.test__make_client_retry_health_string_conversion"): _CLIENT,
    ("jobs.test_redis_job", "RedisJobboardTest.test__make_client_sentinel"): _CLIENT,
    ("jobs.test_redis_job", "RedisJobboardTest.test__make_client_sentinel_fallbacks"): _CLIENT,
    ("jobs.test_redis_job", "RedisJobboardTest.test__make_client_sentinel_retry_health"): _CLIENT,
    ("jobs.test_redis_job", "RedisJobboardTest.test__make_client_sentinel_ssl"): _CLIENT,
    ("jobs.test_redis_job", "RedisJobboardTest.test_posting_claim_expiry"): (
        "lets a claim expire while its owner lives; stackl_flow renews claims while the owner lives"
    ),
}

#: Excluded classes that are not run, because their tests would wait without end.
HANGING = {("test_listeners", "TestClaimListener")}

_INSIDE = "internal to TaskFlow's engine"
_LATER = "not implemented yet"
_LAID_OUT = "internal to TaskFlow's storage of boards; stackl_flow's boards use a key-value store"
_POSTING = "created by a board, with other arguments"
_LOST = "internal to TaskFlow's handling of lost connections"
_TAKEN = "docs/coming-from-taskflow.md lists the supported settings"
_DRIVERS = "internal to TaskFlow's handling of database errors"

#: Names of TaskFlow that are not available, with everything below them, and the reasons.
EXCLUDED_NAMES: dict[str, str] = {
    "taskflow.conductors.base.Conductor.ENTITY_KIND": "an attribute of TaskFlow's conductor classes",
    "taskflow.conductors.base.Conductor.notifier": "an instance attribute",
    "taskflow.engines.action_engine.actions": _INSIDE,
    "taskflow.engines.action_engine.builder": _INSIDE,
    "taskflow.engines.action_engine.compiler.Compilation": "created from a plan",
    "taskflow.engines.action_engine.compiler.FlowCompiler": _INSIDE,
    "taskflow.engines.action_engine.compiler.TaskCompiler": _INSIDE,
    "taskflow.engines.action_engine.completer": _INSIDE,
    "taskflow.engines.action_engine.deciders": _INSIDE,
    "taskflow.engines.action_engine.engine.ActionEngine.MAX_MACHINE_STATES_RETAINED": _INSIDE,
    "taskflow.engines.action_engine.executor.ParallelGreenThreadTaskExecutor.DEFAULT_WORKERS": _INSIDE,
    "taskflow.engines.action_engine.executor.ParallelTaskExecutor": _INSIDE,
    "taskflow.engines.action_engine.executor.SerialRetryExecutor": _INSIDE,
    "taskflow.engines.action_engine.executor.SerialTaskExecutor": "accepts calls, not tasks: `submit`",
    "taskflow.engines.action_engine.executor.TaskExecutor": "accepts calls, not tasks: `submit`",
    "taskflow.engines.action_engine.runtime": _INSIDE,
    "taskflow.engines.action_engine.scheduler": _INSIDE,
    "taskflow.engines.action_engine.selector": _INSIDE,
    "taskflow.engines.action_engine.traversal": _INSIDE,
    "taskflow.engines.worker_based": "remote execution uses Celery, Dask or Ray; " + _LATER,
    "taskflow.exceptions.MissingDependencies.MESSAGE_TPL": "the message is created differently",
    "taskflow.exceptions.MissingDependencies.METHOD_TPL": "the message is created differently",
    "taskflow.jobs.backends.impl_etcd.EtcdJob": _POSTING,
    "taskflow.jobs.backends.impl_etcd.EtcdJobBoard.CONNECTED_STATE": _LAID_OUT,
    "taskflow.jobs.backends.impl_etcd.EtcdJobBoard.DATA_POSTFIX": _LAID_OUT,
    "taskflow.jobs.backends.impl_etcd.EtcdJobBoard.ETCD_CONFIG_OPTIONS": _TAKEN,
    "taskflow.jobs.backends.impl_etcd.EtcdJobBoard.FETCH_STATE": _LAID_OUT,
    "taskflow.jobs.backends.impl_etcd.EtcdJobBoard.INIT_STATE": _LAID_OUT,
    "taskflow.jobs.backends.impl_etcd.EtcdJobBoard.JOB_PREFIX": _LAID_OUT,
    "taskflow.jobs.backends.impl_etcd.EtcdJobBoard.LAST_MODIFIED_POSTFIX": _LAID_OUT,
    "taskflow.jobs.backends.impl_etcd.EtcdJobBoard.LOCK_POSTFIX": _LAID_OUT,
    "taskflow.jobs.backends.impl_etcd.EtcdJobBoard.SEQUENCE_KEY": _LAID_OUT,
    "taskflow.jobs.backends.impl_etcd.EtcdJobBoard.TRASH_PATH": _LAID_OUT,
    "taskflow.jobs.backends.impl_etcd.EtcdJobBoard.get_data": _LAID_OUT,
    "taskflow.jobs.backends.impl_etcd.EtcdJobBoard.get_last_modified": _LAID_OUT,
    "taskflow.jobs.backends.impl_etcd.EtcdJobBoard.get_one": _LAID_OUT,
    "taskflow.jobs.backends.impl_etcd.EtcdJobBoard.get_owner_and_data": _LAID_OUT,
    "taskflow.jobs.backends.impl_etcd.EtcdJobBoard.get_owner_data": _LAID_OUT,
    "taskflow.jobs.backends.impl_etcd.EtcdJobBoard.incr": _LAID_OUT,
    "taskflow.jobs.backends.impl_etcd.EtcdJobBoard.set_last_modified": _LAID_OUT,
    "taskflow.jobs.backends.impl_redis.RedisJob": _POSTING,
    "taskflow.jobs.backends.impl_redis.RedisJobBoard.CLIENT_CONF_TRANSFERS": _TAKEN,
    "taskflow.jobs.backends.impl_redis.RedisJobBoard.KEY_PIECE_SEP": _LAID_OUT,
    "taskflow.jobs.backends.impl_redis.RedisJobBoard.LAST_MODIFIED_POSTFIX": _LAID_OUT,
    "taskflow.jobs.backends.impl_redis.RedisJobBoard.NAMESPACE_SEP": _LAID_OUT,
    "taskflow.jobs.backends.impl_redis.RedisJobBoard.OWNED_POSTFIX": _LAID_OUT,
    "taskflow.jobs.backends.impl_redis.RedisJobBoard.SCRIPT_ALREADY_CLAIMED": _LAID_OUT,
    "taskflow.jobs.backends.impl_redis.RedisJobBoard.SCRIPT_NOT_EXPECTED_OWNER": _LAID_OUT,
    "taskflow.jobs.backends.impl_redis.RedisJobBoard.SCRIPT_STATUS_ERROR": _LAID_OUT,
    "taskflow.jobs.backends.impl_redis.RedisJobBoard.SCRIPT_STATUS_OK": _LAID_OUT,
    "taskflow.jobs.backends.impl_redis.RedisJobBoard.SCRIPT_TEMPLATES": _LAID_OUT,
    "taskflow.jobs.backends.impl_redis.RedisJobBoard.SCRIPT_UNKNOWN_JOB": _LAID_OUT,
    "taskflow.jobs.backends.impl_redis.RedisJobBoard.SCRIPT_UNKNOWN_OWNER": _LAID_OUT,
    "taskflow.jobs.backends.impl_redis.RedisJobBoard.join": _LAID_OUT,
    "taskflow.jobs.backends.impl_redis.RedisJobBoard.listings_key": _LAID_OUT,
    "taskflow.jobs.backends.impl_redis.RedisJobBoard.sequence_key": _LAID_OUT,
    "taskflow.jobs.backends.impl_redis.RedisJobBoard.trash_key": _LAID_OUT,
    "taskflow.jobs.backends.impl_redis.RedisJobBoard.wait": "waits for notifications, without delays",
    "taskflow.jobs.backends.impl_zookeeper.ZookeeperJob": _POSTING,
    "taskflow.jobs.backends.impl_zookeeper.ZookeeperJobBoard.ENTITY_FOLDER": _LAID_OUT,
    "taskflow.jobs.backends.impl_zookeeper.ZookeeperJobBoard.NO_FETCH_STATES": _LOST,
    "taskflow.jobs.backends.impl_zookeeper.ZookeeperJobBoard.STATE_HISTORY_LENGTH": _LOST,
    "taskflow.jobs.backends.impl_zookeeper.ZookeeperJobBoard.TRASH_FOLDER": _LAID_OUT,
    "taskflow.jobs.backends.impl_zookeeper.ZookeeperJobBoard.entity_path": _LAID_OUT,
    "taskflow.jobs.backends.impl_zookeeper.ZookeeperJobBoard.trash_path": _LAID_OUT,
    "taskflow.jobs.base.RETRY_ATTEMPTS": "the store retries",
    "taskflow.jobs.base.RETRY_WAIT_TIMEOUT": "the store retries",
    "taskflow.persistence.backends.impl_sqlalchemy.Connection": "created with other arguments",
    "taskflow.persistence.backends.impl_sqlalchemy.DEFAULT_TXN_ISOLATION_LEVELS": _DRIVERS,
    "taskflow.persistence.backends.impl_sqlalchemy.MY_SQL_CONN_ERRORS": _DRIVERS,
    "taskflow.persistence.backends.impl_sqlalchemy.MY_SQL_GONE_WAY_AWAY_ERRORS": _DRIVERS,
    "taskflow.persistence.backends.impl_sqlalchemy.POSTGRES_CONN_ERRORS": _DRIVERS,
    "taskflow.persistence.backends.impl_sqlalchemy.POSTGRES_GONE_WAY_AWAY_ERRORS": _DRIVERS,
    "taskflow.persistence.backends.impl_sqlalchemy.SQLITE_IN_MEMORY": _DRIVERS,
    "taskflow.persistence.backends.impl_sqlalchemy.SQLAlchemyBackend.engine": "an instance attribute",
    "taskflow.persistence.backends.impl_zookeeper.ZkConnection": "created with other arguments",
    "taskflow.persistence.backends.sqlalchemy": "stackl_flow has other tables and migrations",
    "taskflow.persistence.path_based.PathBasedConnection": (
        "its arguments have the names of TaskFlow's base class"
    ),
    "taskflow.retry.Retry.name": "an instance attribute",
    "taskflow.storage.RETRY_ATTEMPTS": "the backend retries",
    "taskflow.storage.RETRY_WAIT_TIMEOUT": "the backend retries",
    "taskflow.types.failure.Failure.SCHEMA": "for TaskFlow's workers",
    "taskflow.utils.banner": "for TaskFlow's conductors",
    "taskflow.utils.kazoo_utils.CONF_TRANSFERS": "internal to make_client",
    "taskflow.utils.kombu_utils": "stackl_flow does not use kombu directly",
    "taskflow.utils.misc.decode_msgpack": "needs the msgpack package: use it directly",
    "taskflow.utils.schema_utils": "needs the jsonschema package: use it directly",
}

#: Modules of TaskFlow without a counterpart here that test modules import. Empty stubs let them load; the
#: tests that use them are excluded above.
STUB_MODULES: dict[str, dict[str, object]] = {
    "taskflow.engines.worker_based": {},
    "taskflow.engines.worker_based.engine": {},
    "taskflow.engines.worker_based.worker": {},
    "taskflow.engines.action_engine.builder": {},
    "taskflow.engines.action_engine.runtime": {},
}

"""Tests of the wheel that are left out, each with its reason.

A line names a module and in it a test, or a class when all its tests are meant. "It fails" is no reason. A
listed test that passes, or that is not there, fails the run.
"""

_MACHINE = "steps through the inside of TaskFlow's engine, its state machine and runtime; ours has neither"
_INJECTOR = "counts the atom in which TaskFlow keeps injected values; ours are notes of the flow"
_CACHE = "empties TaskFlow's private cache of failures; ours keeps the failure itself"
_WORKERS = "runs on TaskFlow's own workers; remote execution comes with Celery, Dask and Ray"

_CLIENT = "looks at the arguments with which TaskFlow makes its Redis client; ours is made otherwise"

_NODES = "reads or changes the nodes in which TaskFlow keeps a board in ZooKeeper; ours are others"
_KAZOO = "has a method fail that TaskFlow's board calls and ours does not"
_ETCD = "hands TaskFlow's board a client that is none and looks at what it is asked; ours asks otherwise"
_ETCD_KEYS = "looks at how TaskFlow's board reads and counts up a key in etcd; ours has no such methods"

LEFT_OUT: dict[tuple[str, str], str] = {
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
        "lets a claim run out while its owner lives; ours are kept up while he does, and end with him"
    ),
}

#: Classes of these that are not even run: each of their tests waits for what never happens here.
HANGING = {("test_listeners", "TestClaimListener")}

_INSIDE = "a part of TaskFlow's engine that ours does not have"
_LATER = "its room is not built yet"
_LAID_OUT = "how TaskFlow lays a board out on its server; ours stands on a place of items"
_POSTING = "made by a board, of a posting; where it is kept is the board's business"
_LOST = "lists for what TaskFlow's board does while its connection is lost"
_TAKEN = "which settings are taken stands in the guide, docs/coming-from-taskflow.md"
_DRIVERS = "lists for TaskFlow's own handling of database errors; ours is another"

#: Names of TaskFlow's that are not served, each standing for all below it, and why.
NAMES: dict[str, str] = {
    "taskflow.conductors.base.Conductor.ENTITY_KIND": "TaskFlow's own conductors have it",
    "taskflow.conductors.base.Conductor.notifier": "every conductor has it, of its own and not of its class",
    "taskflow.engines.action_engine.actions": _INSIDE,
    "taskflow.engines.action_engine.builder": _INSIDE,
    "taskflow.engines.action_engine.compiler.Compilation": "made of a plan, which is what an engine runs",
    "taskflow.engines.action_engine.compiler.FlowCompiler": _INSIDE,
    "taskflow.engines.action_engine.compiler.TaskCompiler": _INSIDE,
    "taskflow.engines.action_engine.completer": _INSIDE,
    "taskflow.engines.action_engine.deciders": _INSIDE,
    "taskflow.engines.action_engine.engine.ActionEngine.MAX_MACHINE_STATES_RETAINED": _INSIDE,
    "taskflow.engines.action_engine.executor.ParallelGreenThreadTaskExecutor.DEFAULT_WORKERS": _INSIDE,
    "taskflow.engines.action_engine.executor.ParallelTaskExecutor": _INSIDE,
    "taskflow.engines.action_engine.executor.SerialRetryExecutor": _INSIDE,
    "taskflow.engines.action_engine.executor.SerialTaskExecutor": "takes calls, not tasks: `submit`",
    "taskflow.engines.action_engine.executor.TaskExecutor": "takes calls, not tasks: `submit`",
    "taskflow.engines.action_engine.runtime": _INSIDE,
    "taskflow.engines.action_engine.scheduler": _INSIDE,
    "taskflow.engines.action_engine.selector": _INSIDE,
    "taskflow.engines.action_engine.traversal": _INSIDE,
    "taskflow.engines.worker_based": "remote execution is done by Celery, Dask or Ray; " + _LATER,
    "taskflow.exceptions.MissingDependencies.MESSAGE_TPL": "our message is made in another way",
    "taskflow.exceptions.MissingDependencies.METHOD_TPL": "our message is made in another way",
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
    "taskflow.jobs.backends.impl_redis.RedisJobBoard.wait": "the board wakes who waits: there are no delays",
    "taskflow.jobs.backends.impl_zookeeper.ZookeeperJob": _POSTING,
    "taskflow.jobs.backends.impl_zookeeper.ZookeeperJobBoard.ENTITY_FOLDER": _LAID_OUT,
    "taskflow.jobs.backends.impl_zookeeper.ZookeeperJobBoard.NO_FETCH_STATES": _LOST,
    "taskflow.jobs.backends.impl_zookeeper.ZookeeperJobBoard.STATE_HISTORY_LENGTH": _LOST,
    "taskflow.jobs.backends.impl_zookeeper.ZookeeperJobBoard.TRASH_FOLDER": _LAID_OUT,
    "taskflow.jobs.backends.impl_zookeeper.ZookeeperJobBoard.entity_path": _LAID_OUT,
    "taskflow.jobs.backends.impl_zookeeper.ZookeeperJobBoard.trash_path": _LAID_OUT,
    "taskflow.jobs.base.RETRY_ATTEMPTS": "who writes tries again is the place's business",
    "taskflow.jobs.base.RETRY_WAIT_TIMEOUT": "who writes tries again is the place's business",
    "taskflow.persistence.backends.impl_sqlalchemy.Connection": "made by get_connection(), of other things",
    "taskflow.persistence.backends.impl_sqlalchemy.DEFAULT_TXN_ISOLATION_LEVELS": _DRIVERS,
    "taskflow.persistence.backends.impl_sqlalchemy.MY_SQL_CONN_ERRORS": _DRIVERS,
    "taskflow.persistence.backends.impl_sqlalchemy.MY_SQL_GONE_WAY_AWAY_ERRORS": _DRIVERS,
    "taskflow.persistence.backends.impl_sqlalchemy.POSTGRES_CONN_ERRORS": _DRIVERS,
    "taskflow.persistence.backends.impl_sqlalchemy.POSTGRES_GONE_WAY_AWAY_ERRORS": _DRIVERS,
    "taskflow.persistence.backends.impl_sqlalchemy.SQLITE_IN_MEMORY": _DRIVERS,
    "taskflow.persistence.backends.impl_sqlalchemy.SQLAlchemyBackend.engine": "the backend keeps it",
    "taskflow.persistence.backends.impl_zookeeper.ZkConnection": "made by get_connection(), of other things",
    "taskflow.persistence.backends.sqlalchemy": "our tables and migrations are others",
    "taskflow.persistence.path_based.PathBasedConnection": (
        "its arguments have the names that TaskFlow's base class gives them"
    ),
    "taskflow.retry.Retry.name": "every retry has it, of its own and not of its class",
    "taskflow.storage.RETRY_ATTEMPTS": "who writes tries again is the backend's business",
    "taskflow.storage.RETRY_WAIT_TIMEOUT": "who writes tries again is the backend's business",
    "taskflow.types.failure.Failure.SCHEMA": "made for TaskFlow's workers",
    "taskflow.utils.banner": "made for TaskFlow's conductors",
    "taskflow.utils.kazoo_utils.CONF_TRANSFERS": "a list inside make_client",
    "taskflow.utils.kombu_utils": "no room of ours speaks to kombu",
    "taskflow.utils.misc.decode_msgpack": "needs the msgpack package: use it directly",
    "taskflow.utils.schema_utils": "needs the jsonschema package: use it directly",
}

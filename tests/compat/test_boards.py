"""Boards and conductors under TaskFlow's names, on real servers."""

from urllib.parse import urlsplit

import pytest

from stackl_flow.control import boards as control
from stackl_flow.jobboards import backends as boards

PROGRAM = """
    import threading, time, uuid
    from stackl_flow import compat
    compat.install()
    from taskflow import engines, exceptions, states, task
    from taskflow.conductors import backends as conductors
    from taskflow.conductors.backends import impl_blocking
    from taskflow.jobs import backends as jobs
    from taskflow.jobs import base
    from taskflow.patterns import linear_flow
    from taskflow.persistence import backends as persistences
    from taskflow.utils import kazoo_utils, persistence_utils

    persistence = persistences.fetch({{"connection": "memory"}})
    persistence.get_connection().upgrade()

    def make():
        return linear_flow.Flow("f").add(task.FunctorTask(lambda: "result", name="work", provides="word"))

    def make_slow():
        last = task.FunctorTask(lambda: 1, name="second")
        return linear_flow.Flow("f").add(task.FunctorTask(wait, name="first"), last)

    began, go_on = threading.Event(), threading.Event()

    def wait():
        began.set()
        go_on.wait(30)

    def post(board, factory=make, **kwargs):
        book, detail = persistence_utils.temporary_flow_detail(persistence)
        engines.save_factory_details(detail, factory, [], {{}}, backend=persistence)
        return board.post("job", book, {{"flow_uuid": detail.uuid}}, **kwargs)

    conf = {conf!r}
"""

#: TaskFlow's settings for a path or namespace of this test only.
CONF = {
    "memory": lambda port, name: {"board": f"memory://{name}"},
    "redis": lambda port, name: {"board": "redis", "host": "127.0.0.1", "port": port, "namespace": name},
    "zookeeper": lambda port, name: {
        "board": "zookeeper", "hosts": [f"127.0.0.1:{port}"], "path": f"/taskflow/{name}", "timeout": 5.0,
    },
    "etcd": lambda port, name: {"board": "etcd", "port": str(port), "path": name},
}  # fmt: skip

#: The URL of the same board.
URLS = {
    "redis": "redis://127.0.0.1:{port}?namespace={name}",
    "zookeeper": "zookeeper://127.0.0.1:{port}/taskflow/{name}",
    "etcd": "etcd://127.0.0.1:{port}/taskflow/jobs/{name}",
}


@pytest.fixture(params=["redis", "zookeeper", "etcd"])
def kind(request):
    return request.param


@pytest.fixture
def port(request, kind):
    return urlsplit(request.getfixturevalue(f"{kind}_url")).port


@pytest.fixture
def name(tmp_path):
    return tmp_path.parent.name + tmp_path.name


@pytest.fixture
def program(python, kind, port, name):
    """Return a function that runs code after the common prelude."""

    def run(code):
        return python(f"{PROGRAM.format(conf=CONF[kind](port, name))}\n{code}")

    return run


@pytest.fixture
def here(python, name):
    """Like `program`, with an in-memory board."""

    def run(code):
        return python(f"{PROGRAM.format(conf=CONF['memory'](0, name))}\n{code}")

    return run


def test_the_path_identifies_a_board_not_its_name(program, kind, port, name):
    output = program("""
    with jobs.backend("one", conf, persistence=persistence) as one, jobs.backend("two", conf) as two:
        print(isinstance(one, base.NotifyingJobBoard), one.name, two.name)
        priorities = enumerate(("low", "high", "high"))
        made = [one.post(f"job-{n}", details={"n": n}, priority=priority) for n, priority in priorities]
        print([(job.name, job.details["n"]) for job in two.iterjobs()], two.job_count)
        print(made == sorted(made), sorted(made) == list(two.iterjobs()), isinstance(made[0], base.Job))
        print(str(made[0]).partition(" ")[0], two.find_owner(made[0]))
        one.claim(made[0], "me")
        print(two.find_owner(made[0]), [job.name for job in two.iterjobs(only_unclaimed=True)])
        one.consume(made[0], "me")
        print(two.find_owner(made[0]), made[0].state)
        one.claim(made[1], "me")
        one.close()
        one.connect()
        print(made[1].state, one.find_owner(made[1]))
    """)

    job = {"redis": "RedisJob:", "zookeeper": "ZookeeperJob:", "etcd": "EtcdJob:"}[kind]
    assert output == [
        "True one two",
        "[('job-1', 1), ('job-2', 2), ('job-0', 0)] 3",
        "False True True",
        f"{job} None",
        "me ['job-1', 'job-2']",
        "None COMPLETE",
        "UNCLAIMED None",
    ]
    with boards.backend(control.DEFAULT_BOARD, URLS[kind].format(port=port, name=name)) as board:
        assert [job.name for job in board.iterjobs()] == ["job-1", "job-2"]


@pytest.mark.parametrize("kind_name", ["blocking", "nonblocking"])
def test_max_dispatches(program, kind_name):
    output = program(f"""
    with jobs.backend("board", conf, persistence=persistence) as board:
        posted = [post(board) for _ in range(3)]
        consumed = []
        conductor = conductors.fetch("{kind_name}", "me", board, persistence=persistence, wait_timeout=0.05)
        conductor.notifier.register("job_consumed", lambda event, details: consumed.append(details["job"]))
        conductor.run(max_dispatches=2)
        print(sorted(consumed) == sorted(posted[:2]), board.job_count, posted[2].state)
    """)

    assert output == ["True 1 UNCLAIMED"]


def test_the_address_of_a_given_client_is_used(python, kind, port, name):
    conf = CONF[kind](port, name)
    keys = {"path", "namespace", "board"}
    client = {
        "redis": f"__import__('redis').Redis(port={port})",
        "zookeeper": f"kazoo_utils.make_client({{'hosts': 'localhost:{port}'}})",
        "etcd": f"__import__('etcd3gw').Etcd3Client(port={port})",
    }[kind]
    output = python(f"""{PROGRAM.format(conf={key: conf[key] for key in conf.keys() & keys})}
    client = {client}
    with jobs.backend("board", conf, client=client, persistence=persistence) as board:
        job = post(board)
        conductors.fetch("blocking", "me", board, persistence=persistence).run(max_dispatches=1)
        print(job.state, getattr(client, "connected", True))
    print(getattr(client, "connected", True))
    """)

    assert output == ["COMPLETE True", "True"]


def test_stopping_abandons_the_job(here):
    assert here("""
    with jobs.backend("board", conf, persistence=persistence) as board:
        job, events = post(board, make_slow), []
        conductor = conductors.fetch("blocking", "me", board, persistence=persistence, wait_timeout=0.05)
        conductor.notifier.register("*", lambda event, details: events.append(event))
        runner = threading.Thread(target=conductor.run)
        runner.start()
        began.wait(30)
        conductor.stop()
        go_on.set()
        runner.join(30)
        print(events[-1], set(events) <= set(conductor.EVENTS_EMITTED), job.state, board.find_owner(job))
    """) == ["job_abandoned True UNCLAIMED None"]


def test_a_job_is_run_again_after_an_error_of_the_environment(here):
    """TaskFlow abandons such a job; the next owner runs its flow from the beginning."""
    assert here("""
    def work():
        attempts.append(1)
        if len(attempts) < 3:
            raise exceptions.ExecutionFailure("not now") if len(attempts) == 1 else KeyError("nor now")
        return "done"

    def make_shy():
        return linear_flow.Flow("f").add(task.FunctorTask(work, name="work", provides="word"))

    class Mine(impl_blocking.BlockingConductor):
        NO_CONSUME_EXCEPTIONS = (*impl_blocking.BlockingConductor.NO_CONSUME_EXCEPTIONS, KeyError)

    attempts, events = [], []
    with jobs.backend("board", conf, persistence=persistence) as board:
        job = post(board, make_shy)
        conductor = Mine("me", board, persistence=persistence)
        conductor.notifier.register("*", lambda event, details: events.append(event))
        conductor.run(max_dispatches=3)
        print(*(event for event in events if event.startswith("job")), job.result(1))
    """) == ["job_abandoned job_abandoned job_consumed {'word': 'done'}"]


def test_on_job_done_can_be_overridden(here):
    """Octavia deletes the logbook of a job there, after checking that the job is complete."""
    assert here("""
    class Mine(impl_blocking.BlockingConductor):
        def _on_job_done(self, job, fut):
            super()._on_job_done(job, fut)
            result = type(fut.exception()) if fut.exception() else fut.result()
            print(job.state, result, self._name, self._jobboard is board)
            raise ValueError("it does no harm")

    with jobs.backend("board", conf, persistence=persistence) as board:
        post(board)
        book, detail = persistence_utils.temporary_flow_detail(persistence)
        board.post("no factory", book, priority="low")
        Mine("me", board, persistence=persistence).run(max_dispatches=2)
        print([job.name for job in board.dead_letters])
    """) == [
        "COMPLETE True me True",
        "COMPLETE <class 'ValueError'> me True",
        "['no factory']",
    ]


@pytest.mark.parametrize("method", ["claim", "consume", "abandon", "iterjobs"])
def test_replaced_methods_of_a_board_are_used(here, method):
    factory = "make_slow" if method == "abandon" else "make"
    assert here(f"""
    with jobs.backend("board", conf, persistence=persistence) as board:
        called, real = [], board.{method}

        def replacement(*args, **kwargs):
            called.append(args)
            return real(*args, **kwargs)

        board.{method} = replacement
        job = post(board, {factory})
        conductor = conductors.fetch("blocking", "me", board, persistence=persistence, wait_timeout=0.05)
        runner = threading.Thread(target=conductor.run, kwargs={{"max_dispatches": 1}})
        runner.start()
        if {factory!r} == "make_slow":
            began.wait(30)
            conductor.stop()
            go_on.set()
        runner.join(30)
        print(len(called) >= 1, job.state)
    """) == [f"True {'UNCLAIMED' if method == 'abandon' else 'COMPLETE'}"]


def test_a_conductor_runs_jobs_of_a_custom_board(here):
    assert (
        here("""
    from taskflow.conductors import base as conductor_base

    class MyJob(base.Job):
        state, priority, created_on, last_modified = states.UNCLAIMED, base.JobPriority.NORMAL, None, None

    class MyBoard(base.NotifyingJobBoard):
        connected = False

        def __init__(self):
            super().__init__("mine", {})
            self.jobs, self.owners, self.entities = [], {}, []

        def connect(self):
            self.connected = True

        def close(self):
            self.connected = False

        @property
        def job_count(self):
            return len(self.jobs)

        def post(self, name, book=None, details=None, priority=base.JobPriority.NORMAL):
            self.jobs.append(MyJob(self, name, details=details, book=book, backend=persistence))
            return self.jobs[-1]

        @base.check_who
        def claim(self, job, who):
            if job in self.owners:
                raise exceptions.UnclaimableJob(job.name)
            self.owners[job], job.state = who, states.CLAIMED

        def consume(self, job, who):
            self.jobs.remove(job)
            job.state = states.COMPLETE
            self.notifier.notify(base.REMOVAL, {"job": job})

        def abandon(self, job, who):
            job.state = states.UNCLAIMED
            del self.owners[job]

        trash = consume

        def find_owner(self, job):
            return self.owners.get(job)

        def iterjobs(self, only_unclaimed=False, ensure_fresh=False):
            import logging
            return base.JobBoardIterator(
                self, logging.getLogger(), lambda ensure_fresh: self.jobs, None, only_unclaimed, ensure_fresh)

        def wait(self, timeout=None):
            return self.iterjobs()

        def register_entity(self, entity):
            self.entities.append((entity.kind, entity.metadata["pid"] > 0))

    board = MyBoard()
    first, second = post(board), post(board)
    board.claim(first, "other")
    conductor = conductors.fetch("blocking", "me", board, persistence=persistence, wait_timeout=0.01)
    conductor.connect()
    conductor.run(max_dispatches=1)
    print([job.state for job in (first, second)], board.owners[second], board.entities, board.connected)
    print(second.wait(1), first.wait(0.01), second, isinstance(conductor, conductor_base.Conductor))
    print(second.book.uuid == second.book_uuid, [job.name for job in board.iterjobs(only_unclaimed=True)])
    conductor.close()
    print(board.connected)
    """)[0]
        == "['CLAIMED', 'COMPLETE'] me [('conductor', True)] True"
    )


def test_an_unreachable_board_raises_an_error(here):
    output = here("""
    import socket
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    client = kazoo_utils.make_client({"hosts": f"127.0.0.1:{port}"})
    board = jobs.fetch("board", {"board": "zookeeper"}, client=client)
    try:
        board.connect(timeout=0.2)
    except exceptions.JobFailure as error:
        print(str(error).splitlines()[0], board.connected)
    for path in ("", "relative"):
        try:
            jobs.fetch("board", {"board": "zookeeper", "path": path})
        except ValueError as error:
            print("refused")
    """)

    assert output[0].startswith("board 'board' cannot be reached: no server of [('127.0.0.1', ")
    assert output[0].endswith("False")
    assert output[1:] == ["refused", "refused"]


@pytest.mark.parametrize("kind", ["redis"])
def test_a_claim_lasts_while_its_owner_lives(program):
    output = program("""
    import os, signal
    conf["ttl"] = 1.0
    with jobs.backend("board", conf) as board:
        kept, lost = board.post("kept"), board.post("lost")
        board.claim(kept, "me", expiry=1)
        pid = os.fork()
        if pid == 0:
            with jobs.backend("board", conf) as child:
                child.claim(lost, "child")
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        print(board.find_owner(lost), lost.state)
        # Real time, longer than the lease TTL.
        until = time.monotonic() + 30
        while lost.state != states.UNCLAIMED and time.monotonic() < until:
            time.sleep(0.2)
        time.sleep(1.5)
        print(board.find_owner(lost), lost.state, board.find_owner(kept), kept.state)
    """)

    assert output == ["child CLAIMED", "None UNCLAIMED me CLAIMED"]


def test_details_without_a_json_representation_are_converted(here):
    assert here("""
    import collections, ipaddress
    Size = collections.namedtuple("Size", "x y")
    with jobs.backend("board", conf) as board:
        board.post("job", details={"size": Size(1, 2), "host": ipaddress.ip_address("10.0.0.1"), "n": 3})
        print([dict(job.details) for job in board.iterjobs()])
        try:
            board.post("job", details={"lock": threading.Lock()})
        except exceptions.StacklFlowError as error:
            print(type(error).__name__, board.job_count)
    """) == ["[{'size': [1, 2], 'host': '10.0.0.1', 'n': 3}]", "NotSerializable 1"]


def test_other_methods_of_boards(here):
    assert here("""
    conf["max_claims"] = 2
    with jobs.backend("board", conf, persistence=persistence) as board:
        events, done = [], threading.Event()
        for event in ("POSTED", "CLAIMED", "ABANDONED", "REMOVAL"):
            board.notifier.register(event, lambda event, details: (events.append(event), done.set()))
        job = board.post("in vain")
        for _ in range(2):
            board.claim(job, "me")
            board.abandon(job, "me")
        print([(each.name, [claim.ended for claim in each.claims]) for each in board.dead_letters], job.state)
        good = post(board)
        conductors.fetch("blocking", "me", board, persistence=persistence).run(max_dispatches=1)
        print(good.result(1))
        until = time.monotonic() + 30
        while len(events) < 8 and time.monotonic() < until:
            done.wait(0.05)
        print(*events)
    """) == [
        "[('in vain', ['abandoned', 'abandoned'])] COMPLETE",
        "{'word': 'result'}",
        "POSTED CLAIMED ABANDONED CLAIMED REMOVAL POSTED CLAIMED REMOVAL",
    ]


def test_settings_are_read_from_urls_and_unknown_ones_are_ignored(here):
    assert here("""
    def parse(conf):
        board = jobs.fetch("board", conf)
        return board._kv.name, board.ttl

    print(parse("redis://h:7/2?namespace=x&ttl=3"))
    print(parse({"board": "redis", "host": "h", "port": "7", "ssl": "no", "ssl_ca_certs": "/x", "sort": 1}))
    print(parse("zookeeper://localhost?path=/a/b"), parse("zookeeper://h:7/a/b"))
    print(parse({"board": "zookeeper", "hosts": {"h": 1, "i": 2}, "timeout": "4.5", "handler": object()}))
    print(parse({"board": "zookeeper", "hosts": "h:1/root", "path": "/a", "ttl": 2, "timeout": 9}))
    print(parse("etcd://h:7?path=p&ttl=20"), parse({"board": "etcd", "ttl": None}))
    print(parse({"board": "memory", "max_claims": None, "outcome_retention": "60"})[1])
    """) == [
        "('redis://h:7/2', 3.0)",
        "('redis://h:7', 15.0)",
        "('zookeeper://localhost/a/b', 15.0) ('zookeeper://h:7/a/b', 15.0)",
        "('zookeeper://h:1,i:2/taskflow/jobs', 4.5)",
        "('zookeeper://h:1/root/a', 2.0)",
        "('etcd://h:7/taskflow/jobs/p', 20.0) ('etcd://localhost:2379/taskflow/jobs/jobboard', 15.0)",
        "15.0",
    ]


def test_flows_in_zookeeper(python, zookeeper_url, name):
    port = urlsplit(zookeeper_url).port
    assert python(f"""{PROGRAM.format(conf={"hosts": f"127.0.0.1:{port}", "path": f"/{name}"})}
    conf["connection"] = "zookeeper:"
    with persistences.backend(conf) as backend:
        engine = engines.load_from_factory(make, backend=backend)
        engine.run()
    client = kazoo_utils.make_client({{"hosts": conf["hosts"]}})
    with persistences.backend({{**conf, "hosts": "nowhere"}}, client=client) as backend:
        with backend.get_connection() as conn:
            print(conn.get_flow_details(engine.storage.flow_uuid).state, backend.path == conf["path"])
    client.ensure_path("/of-taskflow/flow_details")
    for wrong in ({{"path": "/of-taskflow"}}, {{"path": "/of-taskflow/"}}):
        try:
            persistences.fetch({{**conf, **wrong}}).get_connection()
        except exceptions.StorageFailure as error:
            print("that TaskFlow stored" in str(error))
    try:
        persistences.fetch({{**conf, "path": "relative"}})
    except ValueError:
        print("refused")
    kazoo_utils.finalize_client(client)
    """) == ["SUCCESS True", "True", "True", "refused"]


@pytest.mark.parametrize("database", ["postgresql", "mysql"])
def test_flows_and_boards_in_a_database(request, python, database, name):
    url = request.getfixturevalue(f"{database}_url")
    assert python(f"""{PROGRAM.format(conf={"board": url})}
    with persistences.backend({{"connection": {url!r}, "max_pool_size": 5}}) as persistence:
        with jobs.backend({name!r}, conf, persistence=persistence) as board:
            job = post(board, priority="very_high")  # other tests may have left jobs
            conductors.fetch("blocking", {name!r}, board, persistence=persistence).run(max_dispatches=1)
            print(job.state, job.result())
    """) == ["COMPLETE {'word': 'result'}"]

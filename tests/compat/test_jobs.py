"""Boards and conductors under TaskFlow's names."""

import pytest

PROGRAM = """
    import sys, threading
    from stackl_flow import compat
    compat.install()
    from taskflow import engines, exceptions, states, task
    from taskflow.conductors import backends as conductors
    from taskflow.conductors.backends import impl_blocking
    from taskflow.jobs import backends as jobs
    from taskflow.jobs import base
    from taskflow.patterns import linear_flow
    from taskflow.persistence import backends as persistences
    from taskflow.utils import persistence_utils

    persistence = persistences.fetch({"connection": "memory"})
    persistence.get_connection().upgrade()

    def make(blow_up=False):
        def work(word):
            if blow_up:
                raise ValueError(word)
            return word
        return linear_flow.Flow("f").add(task.FunctorTask(work, name="work", provides="result"))

    def post(board, *args, **details):
        book, detail = persistence_utils.temporary_flow_detail(persistence)
        engines.save_factory_details(detail, make, args, {}, backend=persistence)
        return book, detail, board.post("job", book, {"flow_uuid": detail.uuid, **details})

    def state_of(book, detail):
        with persistence.get_connection() as conn:
            return conn.get_logbook(book.uuid).find(detail.uuid).state
"""


@pytest.fixture
def program(python):
    """Return a function that runs code after the common prelude."""

    def run(code):
        return python(f"{PROGRAM}\n{code}")

    return run


@pytest.mark.parametrize("kind", ["blocking", "nonblocking"])
def test_jobs_are_run_by_a_conductor(program, kind):
    assert program(f"""
    with jobs.backend("board", {{"board": "memory"}}, persistence=persistence) as board:
        good, bad = post(board, store={{"word": "hello"}}), post(board, True, store={{"word": "oops"}})
        conductor = conductors.fetch("{kind}", "me", board, persistence=persistence, wait_timeout=0.01)
        events = []
        conductor.notifier.register("*", lambda event, details: events.append(event))
        conductor.run(max_dispatches=2)
        print(state_of(*good[:2]), state_of(*bad[:2]))
        print(good[2].state, good[2].wait(1), board.job_count)
        print(set(events) <= set(conductor.EVENTS_EMITTED), events.count("job_consumed"))
    """) == ["SUCCESS REVERTED", "COMPLETE True 0", "True 2"]


def test_methods_of_a_conductor_that_programs_override(program):
    assert program("""
    class Mine(impl_blocking.BlockingConductor):
        def _listeners_from_job(self, job, engine):
            print("listeners", job.name, type(engine).__name__)
            return super()._listeners_from_job(job, engine)

    with jobs.backend("board", "memory", persistence=persistence) as board:
        post(board, store={"word": "hello"})
        Mine("me", board, persistence=persistence, engine="parallel").run(max_dispatches=1)
    """) == ["listeners job ParallelActionEngine"]


def test_executor_factory(program):
    assert program("""
    import futurist
    made = []

    def factory():
        made.append(futurist.ThreadPoolExecutor(max_workers=1))
        return made[0]

    with jobs.backend("board", "memory", persistence=persistence) as board:
        post(board, store={"word": "hello"})
        options = {"persistence": persistence, "executor_factory": factory}
        conductors.fetch("nonblocking", "me", board, **options).run(max_dispatches=1)
        print(made[0].statistics.executed)
        for wrong in ({"executor_factory": "no"}, {"wait_timeout": "no"}):
            try:
                conductors.fetch("nonblocking", "me", board, **wrong)
            except ValueError:
                print("refused")
    """) == ["1", "refused", "refused"]


def test_methods_of_a_board(program):
    assert program("""
    board = jobs.fetch("board", "memory")
    board.connect()
    try:
        board.wait(timeout=0.01)
    except exceptions.NotFound as error:
        print("no jobs")
    job = board.post("job", details={"a": 1}, priority="high")
    print(job.state, job.priority is base.JobPriority.HIGH, [job.name for job in board.wait(1)])
    for method in (board.abandon, board.consume):
        try:
            method(job, "me")
        except exceptions.NotFound:
            print("unclaimed")
    board.claim(job, "me", expiry=30)
    print(job.state, board.find_owner(job), job.extend_expiry(30), job.expires_in() > 0)
    board.consume(job, "me")
    print(job.state)
    board.close()
    try:
        job.state
    except exceptions.JobFailure as error:
        print(error)
    """) == [
        "no jobs",
        "UNCLAIMED True ['job']",
        "unclaimed",
        "unclaimed",
        "CLAIMED me True True",
        "COMPLETE",
        "board 'board' of job 'job' is closed: connect it",
    ]


def test_a_stopped_conductor_does_not_run_jobs(program):
    assert program("""
    with jobs.backend("board", "memory", persistence=persistence) as board:
        post(board, store={"word": "hello"})
        conductor = conductors.fetch("blocking", "me", board, persistence=persistence)
        conductor.stop()
        conductor.run()
        print(board.job_count, conductor.wait(1), conductor.dispatching)
    """) == ["1 True False"]


def test_unknown_kinds(program):
    board, conductor = program("""
    for fetch in (lambda: jobs.fetch("board", "nowhere"), lambda: conductors.fetch("unknown", "me", None)):
        try:
            fetch()
        except exceptions.NotFound as error:
            print(error)
    """)

    assert board.startswith("unknown jobboard 'nowhere' in 'taskflow.jobboards': known jobboards are dir,")
    assert conductor == (
        "unknown conductor 'unknown' in 'taskflow.conductors': known conductors are blocking, nonblocking"
    )

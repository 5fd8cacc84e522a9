"""Every executor passes the contract."""

from concurrent import futures

import futurist
import pytest

from stackl_flow.engines.executors.serial import SerialExecutor
from stackl_flow.engines.executors.threads import ThreadsExecutor
from stackl_flow.testing.contracts.executors import ExecutorContract


class TestSerial(ExecutorContract):
    @pytest.fixture
    def executor(self):
        return SerialExecutor()


class TestThreads(ExecutorContract):
    @pytest.fixture
    def executor(self):
        return ThreadsExecutor(max_workers=2)


class Stubborn(futures.ThreadPoolExecutor):
    """Its futures cannot be cancelled."""

    def submit(self, fn, /, *args, **kwargs):
        future = super().submit(fn, *args, **kwargs)
        future.cancel = lambda: False
        return future


class TestOthers(ExecutorContract):
    @pytest.fixture(params=[futures.ThreadPoolExecutor, futurist.ThreadPoolExecutor, Stubborn])
    def executor(self, request):
        with request.param(max_workers=2) as pool:
            yield ThreadsExecutor(pool)

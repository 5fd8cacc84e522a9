"""The engine's round, which is always the same.

What the core commands is written down, told and begun (SCHEDULING), something comes back (WAITING), the core
hears of it (ANALYZING), until the core says that the flow has come to rest.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

from stackl_flow import states as st
from stackl_flow.calls import Wake
from stackl_flow.engines import commands as c
from stackl_flow.engines.executors.base import Executor
from stackl_flow.engines.shell import Shell
from stackl_flow.engines.statistics import Watch


class Rounds:
    """Goes round until the flow rests.

    Args:
        watch: is told of each stage of a round.
        move_flow: moves the flow to a state and tells of it.
    """

    def __init__(self, watch: Watch, move_flow: Callable[[str], None]) -> None:
        self._watch = watch
        self._move_flow = move_flow
        self._pause = False

    def begin(self) -> None:
        """Forget what was asked for before."""
        self._pause = False

    def suspend(self, executor: Executor) -> None:
        """Ask for a pause; any thread may call this.

        Args:
            executor: what the round waits for.
        """
        self._pause = True
        executor.report(Wake())

    def go(
        self, shell: Shell, executor: Executor, timeout: float | None, *, stepwise: bool
    ) -> Generator[str, None, None]:
        """Go round.

        Args:
            shell: carries out what is decided.
            executor: performs the calls.
            timeout: how many seconds to wait for calls before looking up again.
            stepwise: somebody looks at each stage, and may ask for a pause there.

        Yields:
            The engine's states, if somebody looks.
        """
        core, watch = shell.core, self._watch
        events: list[c.Event] = []
        begun = False
        while True:
            idle = stepwise and begun and shell.idle(asked=self._pause)
            if not idle:
                stage = watch.enter(st.SCHEDULING)
                if stepwise:
                    yield stage
            events += self._orders(shell, executor)
            if begun:
                commands = core.handle(events)
            else:
                commands = core.hear(events) + core.start()
                begun = True
            shell.carry_out(commands)
            if shell.rest is not None:
                break
            stage = watch.enter(st.WAITING)
            if stepwise:
                yield stage
            reports = executor.wait(timeout)
            stage = watch.enter(st.ANALYZING)
            if stepwise:
                yield stage
            events = shell.events_of(reports)
            if stepwise or shell.listening:
                # Those who see an end may ask for a pause, which is to count before anything begins.
                shell.carry_out(core.hear(events))
                events = []
        if stepwise and not idle:  # TaskFlow's machine goes all the way round before it rests
            yield from map(watch.enter, (st.WAITING, st.ANALYZING))

    def _orders(self, shell: Shell, executor: Executor) -> list[c.Event]:
        """Turn what came from outside into what the core hears."""
        orders: list[c.Event] = []
        if self._pause:
            self._pause = False
            self._move_flow(st.SUSPENDING)
            executor.cancel()
            orders.append(c.Suspended())
        if shell.troubles:
            orders.append(c.Broke())
        return orders

"""Flows and tasks that other processes import by name."""

import os

from stackl_flow import FunctorTask, LinearFlow, current_task
from stackl_flow.task import Task

made = []


class Plain(Task):
    """Takes nothing beyond Task's own arguments."""

    default_provides = "text"

    def execute(self, who):
        self.update_progress(0.5, seen=who)
        return f"{self.name}: hello {who} from {os.getpid() != 0}"


class WithSetting(Task):
    """Has a setting of its own, so only a factory can make it."""

    def __init__(self, name, greeting):
        super().__init__(name)
        self.greeting = greeting

    def execute(self, who):
        if who == "nobody":
            raise ValueError("cannot greet") from KeyError("no such person")
        if who == "odd":
            return object()
        if who == "exit":
            raise SystemExit(3)
        task = current_task()
        return [self.greeting, who, task.flow_uuid, task.flow_name, task.attempt, task.idempotency_key]

    def revert(self, result, flow_failures, **_):
        return [str(result), sorted(flow_failures)]


def greetings(greeting, count=1):
    made.append(greeting)
    flow = LinearFlow("greetings")
    for number in range(count):
        flow.add(WithSetting(f"greet {number}", greeting))
    return flow.add(FunctorTask(lambda: len(made), name="made"))

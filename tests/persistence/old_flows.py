"""The flow that an earlier version stored, several times and half done, in ``old_flows.json``."""

from stackl_flow import LinearFlow, retry, task


class Add(task.Task):
    default_provides = "sum"

    def execute(self, base, extra):
        return {"sum": base + extra, "pad": "p" * 1500}

    def revert(self, **_):
        pass


class Try(task.Task):
    def execute(self, attempt, fails):
        if attempt <= fails:
            raise RuntimeError(f"attempt {attempt}")
        return attempt


class End(task.Task):
    default_provides = "end"

    def execute(self, sum):  # noqa: A002  the name of the result
        return sum["sum"] + 1


def make(name, fails):
    del fails
    inner = LinearFlow("inner", retry=retry.Times(4, name="again", provides="attempt")).add(Try("try"))
    return LinearFlow(name).add(Add("add"), inner, End("end"))

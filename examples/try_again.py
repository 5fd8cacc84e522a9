"""A retry policy decides what follows a failure in its flow: another attempt, or another value."""

from typing import Any

from stackl_flow import engines, retry, task
from stackl_flow.patterns import linear_flow


class Ask(task.Task):
    """Succeeds at the third attempt; the policy provides `attempt`."""

    default_provides = "answer"

    def execute(self, attempt: int) -> str:
        """Fail, or answer."""
        print(f"attempt {attempt}")
        if attempt < 3:  # noqa: PLR2004 - the third attempt
            raise TimeoutError("no answer")
        return "yes"


class Copy(task.Task):
    """Copies from the server that the policy provides; only one of them is up."""

    def execute(self, server: str) -> None:
        """Fail, or copy."""
        if server != "north":
            raise ConnectionError(f"{server} is down")
        print(f"copied from {server}")

    def revert(self, server: str, **_: Any) -> None:
        """Clean up before the next attempt."""
        print(f"cleaned up what came from {server}")


print("-- Times: up to five attempts")
repeated = linear_flow.Flow("repeated", retry=retry.Times(5, name="again", provides="attempt"))
print("the answer is", engines.run(repeated.add(Ask()))["answer"])

print("-- ForEach: one attempt per value")
alternatives = linear_flow.Flow(
    "alternatives", retry=retry.ForEach(["east", "north", "west"], name="next", provides="server")
)
engine = engines.load(alternatives.add(Copy("copy")))
engine.run()
for provided, failures in engine.storage.get_retry_history("next"):
    print(f"{provided}: {failures['copy'].exception_str if failures else 'succeeded'}")

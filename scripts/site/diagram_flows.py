"""The flows of the pictures."""

from stackl_flow import FunctorTask, GraphFlow, LinearFlow, Times, UnorderedFlow


def _step(name: str, provides: str | None = None, requires: tuple[str, ...] = ()) -> FunctorTask:
    def execute(**_: object) -> str:
        return name

    def revert(**_: object) -> None:
        """Nothing to undo."""

    return FunctorTask(execute, revert=revert, name=name, provides=provides, requires=requires)


def _declined(**_: object) -> None:
    raise RuntimeError("card declined")


def graph() -> GraphFlow:
    """Tasks ordered by the values that they exchange."""
    return GraphFlow("quote").add(
        _step("weigh", provides="weight"),
        _step("measure", provides="size"),
        _step("price", provides="price", requires=("weight", "size")),
        _step("insure", requires=("price",)),
        _step("print-label", requires=("weight",)),
    )


def nested() -> LinearFlow:
    """Flows within a flow, one of them with a retry."""
    notify = UnorderedFlow("notify").add(_step("mail"), _step("text"))
    payment = LinearFlow("payment", retry=Times(3, name="three-attempts")).add(
        _step("charge"), _step("receipt")
    )
    return LinearFlow("order").add(_step("reserve"), payment, notify)


def failing() -> LinearFlow:
    """A flow whose second task fails, so that the first one is reverted."""
    return LinearFlow("order").add(_step("reserve"), FunctorTask(_declined, name="charge"), _step("ship"))

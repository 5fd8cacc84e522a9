"""A graph flow orders its tasks by the names they need; a decider on a link leaves some out."""

from stackl_flow import engines, task
from stackl_flow.patterns import deciders, graph_flow


class Weigh(task.Task):
    """Provides the weight."""

    default_provides = "weight"

    def execute(self, parcel: str) -> int:
        """A letter counts as one kilogram."""
        return len(parcel)


class Price(task.Task):
    """Needs the weight, so it runs after `Weigh`, in whatever order they were added."""

    default_provides = "price"

    def execute(self, weight: int) -> int:
        """Two a kilogram."""
        return 2 * weight


class Insure(task.Task):
    """Runs only if the decider says so."""

    def execute(self, parcel: str) -> None:
        """Insure it."""
        print(f"  insured {parcel}")


class Thank(task.Task):
    """Comes after `Insure`, and is left out with it."""

    def execute(self) -> None:
        """Thank the customer."""
        print("  thanked")


def is_dear(history: dict[str, int]) -> bool:
    """A decider gets the results of the tasks its link comes from, by their names."""
    return history["price"] > 10  # noqa: PLR2004 - that is dear


for parcel in ("book", "bookshelf"):
    price, insure, thank = Price("price"), Insure("insure"), Thank("thank")
    flow = graph_flow.Flow("post").add(thank, insure, price, Weigh("weigh"))
    # Depth.ALL: all that comes after `insure` is ignored too; Depth.ATOM would leave out `insure` alone.
    flow.link(price, insure, decider=is_dear, decider_depth=deciders.Depth.ALL)
    flow.link(insure, thank)
    engine = engines.load(flow, store={"parcel": parcel})
    print(parcel)
    engine.run()
    print("  price", engine.storage.fetch("price"), "- insure is", engine.storage.get_atom_state("insure"))

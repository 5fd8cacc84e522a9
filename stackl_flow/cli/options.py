"""The options that several commands share."""

from enum import StrEnum
from typing import Annotated, Any

import typer

Db = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="URL",
        envvar="STACKL_FLOW_DB",
        help="Where flows are stored: an address such as sqlite:///flows.db, or the path of an SQLite file.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON, for machines.")]
Results = Annotated[bool, typer.Option("--results", help="Show the values that the flow has made, too.")]
Arguments = Annotated[
    list[str] | None,
    typer.Option("--arg", metavar="NAME=VALUE", help="An argument for the factory. Repeatable."),
]
Workers = Annotated[
    int | None,
    typer.Option("--max-workers", min=1, metavar="N", help="Threads of the parallel engine."),
]


Secrets = Annotated[
    list[str] | None,
    typer.Option(
        "--secret",
        metavar="NAME=@FILE",
        help="A text that the flow asks for and nobody is to see: from a file, from the standard input with"
        " NAME=@-, asked for with NAME alone, or NAME=VALUE. No log and no answer shows it. Repeatable.",
    ),
]


class EngineKind(StrEnum):
    """The engines that a command can choose."""

    serial = "serial"
    parallel = "parallel"


EngineOption = Annotated[
    EngineKind, typer.Option("--engine", help="One task after the other, or on several threads.")
]


def needed(db: str | None) -> str:
    """Insist on a place of storage.

    Args:
        db: what was given.

    Returns:
        The same, when it was given.

    Raises:
        BadParameter: it was not.
    """
    if not db:
        raise typer.BadParameter(
            "say where the flows are: --db URL, or STACKL_FLOW_DB=URL", param_hint="--db"
        )
    return db


def engine_options(kind: EngineKind, workers: int | None) -> dict[str, Any]:
    """Put the engine's options together.

    Args:
        kind: which engine.
        workers: threads of the parallel one.

    Returns:
        Keyword arguments for `engines.load`.

    Raises:
        BadParameter: threads were asked for, but not the engine that has some.
    """
    if workers is not None and kind is not EngineKind.parallel:
        raise typer.BadParameter(
            "only the parallel engine has workers: add --engine parallel", param_hint="--max-workers"
        )
    return {"engine": kind.value} | ({"max_workers": workers} if workers is not None else {})

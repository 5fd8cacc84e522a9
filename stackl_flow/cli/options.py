"""Options that several commands share, and helpers for help texts and shell completion."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated, Any

import typer

from stackl_flow.control.opening import require_shared

# ------------------------------------------------------------- output

Json = Annotated[bool, typer.Option("--json", help="Write the result as JSON.")]
Results = Annotated[bool, typer.Option("--results", help="Include the results of tasks.")]

# ------------------------------------------------------------- storage

Db = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="URL",
        envvar="STACKL_FLOW_DB",
        help="Database of flows: a URL such as sqlite:///flows.db, or the path of a SQLite file.",
    ),
]


Factories = Annotated[
    list[str] | None,
    typer.Option(
        "--factories",
        metavar="PATTERN",
        envvar="STACKL_FLOW_FACTORIES",
        help="Factories of stored flows that may be imported, such as 'shop.*'; all by default. Repeatable.",
    ),
]


def allowed_factories(patterns: list[str] | None) -> list[str] | None:
    """Return the value of --factories: patterns, which may be separated by commas; None if there are none."""
    return [name for text in patterns or () for name in text.replace(",", " ").split()] or None


def require_db(db: str | None) -> str:
    """Return the value of --db.

    Raises:
        typer.BadParameter: it was not given.
    """
    if not db:
        raise typer.BadParameter("no database: pass --db URL or set STACKL_FLOW_DB", param_hint="--db")
    return db


Board = Annotated[
    str | None,
    typer.Option(
        "--board",
        metavar="URL",
        envvar="STACKL_FLOW_BOARD",
        help="Job board: a URL such as redis://localhost, or the path of a SQLite file.",
    ),
]
BoardName = Annotated[
    str,
    typer.Option(
        "--board-name", metavar="NAME", help="Name of the job board; several boards can share one URL."
    ),
]


def require_board(board: str | None) -> str:
    """Return the value of --board.

    Raises:
        typer.BadParameter: it was not given.
    """
    if not board:
        raise typer.BadParameter(
            "no job board: pass --board URL or set STACKL_FLOW_BOARD", param_hint="--board"
        )
    return board


@contextmanager
def shared_storage(board: str, db: str) -> Iterator[None]:
    """Check that other processes can reach a board and a database.

    Raises:
        StorageFailure: one of them is in the memory of this process.
    """
    require_shared(board, "--board")
    require_shared(db, "--db")
    yield


# ------------------------------------------------------------- flows and jobs

FactoryArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODULE:FACTORY", help="Function that returns the flow, such as shop.flows:order."
    ),
]
_FLOW = typer.Argument(metavar="FLOW", help="UUID of the flow, the beginning of it, or the flow's name.")
FlowArgument = Annotated[str, _FLOW]
OptionalFlowArgument = Annotated[str | None, _FLOW]
JobArgument = Annotated[
    str, typer.Argument(metavar="JOB", help="UUID of the job, the beginning of it, or the job's name.")
]
Store = Annotated[
    list[str] | None,
    typer.Option(
        "--store",
        metavar="NAME=VALUE",
        help="Input value of the flow; parsed as JSON if it is valid JSON, else text. Repeatable.",
    ),
]
Secrets = Annotated[
    list[str] | None,
    typer.Option(
        "--secret",
        metavar="NAME=@FILE",
        help="Secret input of the flow (text), redacted in all output: NAME=@FILE reads a file, NAME=@- reads"
        " standard input, NAME alone prompts for it. Repeatable.",
    ),
]
FactoryArguments = Annotated[
    list[str] | None,
    typer.Option(
        "--arg",
        metavar="NAME=VALUE",
        help="Keyword argument of the factory, parsed like --store. Repeatable.",
    ),
]

# ------------------------------------------------------------- engines


class EngineKind(StrEnum):
    """The engines that a command can select."""

    serial = "serial"
    parallel = "parallel"


EngineOption = Annotated[
    EngineKind, typer.Option("--engine", help="Run one task at a time, or several on threads.")
]
MaxWorkers = Annotated[
    int | None,
    typer.Option("--max-workers", min=1, metavar="N", help="Number of threads of the parallel engine."),
]


def engine_options(kind: EngineKind, max_workers: int | None) -> dict[str, Any]:
    """Return the keyword arguments of `engines.load`.

    Raises:
        typer.BadParameter: --max-workers was given without the parallel engine.
    """
    if max_workers is not None and kind is not EngineKind.parallel:
        raise typer.BadParameter(
            "only the parallel engine has workers: add --engine parallel", param_hint="--max-workers"
        )
    return {"engine": kind.value} | ({"max_workers": max_workers} if max_workers is not None else {})


# ------------------------------------------------------------- help and completion


def help_of(command: Callable[..., None]) -> str:
    """Return a command's docstring with each paragraph on one line; the help formatter wraps it."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(part if part.startswith(" ") else " ".join(part.split()) for part in paragraphs)


def completion_of(values: Iterable[str]) -> Callable[[str], list[str]]:
    """Return a function that completes one of these values, ignoring case."""
    known = list(values)

    def complete(incomplete: str) -> list[str]:
        return [value for value in known if value.lower().startswith(incomplete.lower())]

    return complete

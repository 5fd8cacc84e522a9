"""The options that several commands share.

The options of the commands that go to a jobboard.

Help texts, made of docstrings without the line breaks of the source; words for a shell to complete.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated, Any

import typer

from stackl_flow.control.boards import BOARD
from stackl_flow.control.opening import check_shared

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


Board = Annotated[
    str | None,
    typer.Option(
        "--board",
        metavar="URL",
        envvar="STACKL_FLOW_BOARD",
        help="Where the jobboard is: an address such as dir:///srv/jobs, or the path of an SQLite file.",
    ),
]
BoardName = Annotated[
    str, typer.Option("--board-name", help="The board's name: several may share one place.")
]
JobArgument = Annotated[
    str, typer.Argument(metavar="JOB", help="The job: its uuid, the beginning of it, or its name.")
]
DEFAULT_NAME = BOARD


def needed_board(board: str | None) -> str:
    """Insist on a board.

    Args:
        board: what was given.

    Returns:
        The same, when it was given.

    Raises:
        BadParameter: it was not.
    """
    if not board:
        raise typer.BadParameter(
            "say where the jobboard is: --board URL, or STACKL_FLOW_BOARD=URL", param_hint="--board"
        )
    return board


@contextmanager
def reachable(board: str, db: str) -> Iterator[None]:
    """Insist on places that other processes find, too.

    Args:
        board: where the board is.
        db: where the flows are.

    Yields:
        Nothing.

    Raises:
        StorageFailure: one of them is in the memory of this process.
    """
    check_shared(board, "--board")
    check_shared(db, "--db")
    yield


def help_of(command: Callable[..., None]) -> str:
    """Make the help of a command.

    Args:
        command: the function, with a docstring.

    Returns:
        Its docstring with each paragraph on one line, as the help formatter breaks lines by itself.
    """
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(part if part.startswith(" ") else " ".join(part.split()) for part in paragraphs)


def words_of(words: Iterable[str]) -> Callable[[str], list[str]]:
    """Make what a shell asks for the words that an option may have.

    Args:
        words: the words.

    Returns:
        A function from the beginning of a word, in whatever case, to the words that begin so.
    """
    known = list(words)

    def beginning(incomplete: str) -> list[str]:
        return [word for word in known if word.lower().startswith(incomplete.lower())]

    return beginning

"""`stackl-flow run`: a flow from its factory."""

from typing import Annotated

import typer

from stackl_flow.cli.errors import answering
from stackl_flow.cli.options import (
    Arguments,
    Db,
    EngineKind,
    EngineOption,
    Json,
    Results,
    Secrets,
    Workers,
    engine_options,
)
from stackl_flow.cli.session import drive, sum_up
from stackl_flow.cli.values import naming_what_lacks, pairs, secrets
from stackl_flow.control import opening, runs

FactoryArgument = Annotated[
    str, typer.Argument(metavar="MODULE:FACTORY", help="What makes the flow, such as shop.flows:order.")
]
Store = Annotated[
    list[str] | None,
    typer.Option(
        "--store",
        metavar="NAME=VALUE",
        help="A value that the flow asks for, read as JSON if it is JSON, else as text. Repeatable.",
    ),
]
Name = Annotated[
    str | None, typer.Option("--name", help="What to call the stored flow, if not by its own name.")
]


def run(
    factory: FactoryArgument,
    store: Store = None,
    secret: Secrets = None,
    arg: Arguments = None,
    db: Db = None,
    name: Name = None,
    engine: EngineOption = EngineKind.serial,
    max_workers: Workers = None,
    results: Results = False,
    as_json: Json = False,
) -> None:
    """Run a flow to its end; when it fails, what it did is undone.

    The factory is imported with the current directory on the path. Without --db the flow is only kept in
    memory and is gone with this process. Ctrl-C suspends the flow after the tasks at work.

    [bold]Examples[/bold]

      stackl-flow run shop.flows:order --store order=17 --store gift=false --db flows.db

      stackl-flow run shop.flows:order --arg express=true --engine parallel --max-workers 4
    """
    values, arguments = pairs(store or (), "--store"), pairs(arg or (), "--arg")
    hidden = secrets(secret or (), values)
    options = engine_options(engine, max_workers)
    with (
        answering(as_json=as_json, secrets=hidden.values()) as out,
        opening.for_work(db or "memory") as backend,
    ):
        given = {**values, **hidden}
        with naming_what_lacks():
            started = runs.start(backend, factory, arguments, given, name, list(hidden), **options)
        outcome = drive(started, out, db)
        code, data = sum_up(backend, outcome, out, db, results=results)
        out.machine(data)
        raise typer.Exit(code)

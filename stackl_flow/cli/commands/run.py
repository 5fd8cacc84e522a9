"""`stackl-flow run`: builds a flow with its factory, stores it and runs it."""

from typing import Annotated

import typer

from stackl_flow.cli.errors import command_output
from stackl_flow.cli.flow_runner import report_result, run_with_display
from stackl_flow.cli.options import (
    Db,
    EngineKind,
    EngineOption,
    FactoryArgument,
    FactoryArguments,
    Json,
    MaxWorkers,
    Results,
    Secrets,
    Store,
    engine_options,
)
from stackl_flow.cli.values import hint_missing_inputs, parse_pairs, read_secrets
from stackl_flow.control import opening, runs

Name = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="Name of the stored flow; by default the flow's own name."),
]


def run(
    factory: FactoryArgument,
    store: Store = None,
    secret: Secrets = None,
    arg: FactoryArguments = None,
    db: Db = None,
    name: Name = None,
    engine: EngineOption = EngineKind.serial,
    max_workers: MaxWorkers = None,
    results: Results = False,
    as_json: Json = False,
) -> None:
    """Run a flow until it succeeds, or fails and is rolled back.

    The factory is imported with the current directory first on the path. Without --db the flow is kept in
    memory and cannot be resumed. Ctrl-C suspends the flow after the running tasks.

    [bold]Examples[/bold]

      stackl-flow run shop.flows:order --store order=17 --store gift=false --db flows.db

      stackl-flow run shop.flows:order --arg express=true --engine parallel --max-workers 4
    """
    inputs, factory_kwargs = parse_pairs(store or (), "--store"), parse_pairs(arg or (), "--arg")
    secrets = read_secrets(secret or (), inputs)
    options = engine_options(engine, max_workers)
    with (
        command_output(as_json=as_json, secrets=secrets.values()) as out,
        opening.open_for_running(db or "memory") as backend,
    ):
        with hint_missing_inputs():
            created = runs.create_engine(
                backend, factory, factory_kwargs, {**inputs, **secrets}, name, list(secrets), **options
            )
        result = run_with_display(created, out, db)
        code, data = report_result(backend, result, out, db, results=results)
        out.json_result(data)
        raise typer.Exit(code)

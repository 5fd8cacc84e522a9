"""Assembles the commands into one application."""

from collections.abc import Callable
from typing import Annotated

import typer

import stackl_flow
from stackl_flow.cli import errors
from stackl_flow.cli.commands import conduct, conductors, db, flows, graph, jobs, post, resume, retention, run
from stackl_flow.cli.errors import DEBUG
from stackl_flow.cli.options import help_of

_HELP = """Run flows of tasks that complete or are rolled back, inspect them, and resume unfinished ones.

A flow is built by a factory, a Python function that returns it: MODULE:FACTORY, such as shop.flows:order.

[bold]Run flows[/bold]

  export STACKL_FLOW_DB=flows.db

  stackl-flow run shop.flows:order --store order=17

  stackl-flow list

  stackl-flow show 3f2a

  stackl-flow graph 3f2a --output order.svg

  stackl-flow resume --all

[bold]Post jobs for conductors to run[/bold]

  export STACKL_FLOW_BOARD=jobs.db

  stackl-flow post shop.flows:order --store order=17 --secret card=@card.txt

  stackl-flow conduct --jobs 4

  stackl-flow jobs list
"""

app = typer.Typer(
    name="stackl-flow",
    help=_HELP,
    epilog=errors.exit_codes_help(),
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,  # local variables contain the inputs of flows
    context_settings={"help_option_names": ["-h", "--help"]},
)
_FLOWS = "Flows"
_JOBS = "Jobs and conductors"
_MAINTENANCE = "Maintenance"
_COMMANDS: tuple[tuple[str, Callable[..., None], str], ...] = (
    ("run", run.run, _FLOWS),
    ("resume", resume.resume, _FLOWS),
    ("list", flows.list_flows, _FLOWS),
    ("show", flows.show, _FLOWS),
    ("history", flows.show_history, _FLOWS),
    ("graph", graph.graph, _FLOWS),
    ("post", post.post, _JOBS),
    ("conduct", conduct.conduct, _JOBS),
)
for _name, _command, _panel in _COMMANDS:
    app.command(_name, help=help_of(_command), rich_help_panel=_panel)(_command)
app.add_typer(jobs.app, name="jobs", rich_help_panel=_JOBS)
app.add_typer(conductors.app, name="conductors", rich_help_panel=_JOBS)
app.add_typer(retention.app, name="runs", rich_help_panel=_MAINTENANCE)
app.add_typer(db.app, name="db", rich_help_panel=_MAINTENANCE)


def _show_version(requested: bool) -> None:
    if requested:
        typer.echo(f"stackl-flow {stackl_flow.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    del version  # handled by its callback
    DEBUG.set(debug)


def main() -> None:
    """Run the command line of this process."""
    app(prog_name="stackl-flow")

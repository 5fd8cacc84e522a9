"""Puts the commands together."""

from collections.abc import Callable
from typing import Annotated

import typer

import stackl_flow
from stackl_flow.cli import errors
from stackl_flow.cli.commands import conduct, conductors, db, flows, graph, jobs, post, resume, retention, run
from stackl_flow.cli.errors import DEBUG
from stackl_flow.cli.options import help_of

_HELP = """Run flows of tasks that finish or are undone, look at them, and go on with those that were left.

A flow comes from a factory, a Python function that returns it: MODULE:FACTORY, as in shop.flows:order.

[bold]A first round[/bold]

  export STACKL_FLOW_DB=sqlite:///flows.db

  stackl-flow run shop.flows:order --store order=17

  stackl-flow list

  stackl-flow show 3f2a

  stackl-flow graph 3f2a --output order.svg

  stackl-flow resume --all

[bold]Jobs, for other processes to run[/bold]

  export STACKL_FLOW_BOARD=jobs.db

  stackl-flow post shop.flows:order --store order=17 --secret card=@card.txt

  stackl-flow conduct --jobs 4

  stackl-flow jobs list
"""

app = typer.Typer(
    name="stackl-flow",
    help=_HELP,
    epilog=errors.epilog(),
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,  # they hold what flows were given
    context_settings={"help_option_names": ["-h", "--help"]},
)
_COMMANDS: dict[str, Callable[..., None]] = {
    "run": run.run,
    "resume": resume.resume,
    "list": flows.list_flows,
    "show": flows.show,
    "history": flows.show_history,
    "graph": graph.graph,
    "post": post.post,
    "conduct": conduct.conduct,
}
_JOBS = "Jobs and conductors"
_CARE = "Care"
for _name, _command in _COMMANDS.items():
    _panel = _JOBS if _name in {"post", "conduct"} else "Flows"
    app.command(_name, help=help_of(_command), rich_help_panel=_panel)(_command)
app.add_typer(jobs.app, name="jobs", rich_help_panel=_JOBS)
app.add_typer(conductors.app, name="conductors", rich_help_panel=_JOBS)
app.add_typer(retention.app, name="runs", rich_help_panel=_CARE)
app.add_typer(db.app, name="db", rich_help_panel=_CARE)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stackl-flow {stackl_flow.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and end.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    del version  # dealt with in its callback
    DEBUG.set(debug)


def main() -> None:
    """Run the command line of this process."""
    app(prog_name="stackl-flow")

"""`stackl-flow db`: manages the database schema."""

import typer

from stackl_flow.cli.errors import command_output
from stackl_flow.cli.options import Db, Json, require_db
from stackl_flow.control import opening

app = typer.Typer(no_args_is_help=True, help="Manage the database schema.")


@app.command()
def upgrade(db: Db = None, as_json: Json = False) -> None:
    """Create the tables, or migrate them to this version; no effect if they are up to date.

    [bold]Example[/bold]

      stackl-flow db upgrade --db sqlite:///flows.db
    """
    url = require_db(db)
    with command_output(as_json=as_json) as out:
        name = opening.upgrade_database(url)
        out.result(f"{name} is up to date", {"database": name, "up_to_date": True})


# For an app with a single command typer would omit the command's name; the callback prevents that.
@app.callback()
def _db() -> None:
    """Manage the database schema."""

"""`stackl-flow db`: care of the database."""

import typer

from stackl_flow.cli.errors import answering
from stackl_flow.cli.options import Db, Json, needed
from stackl_flow.control import opening

app = typer.Typer(no_args_is_help=True, help="Care of the database where flows are stored.")


@app.command()
def upgrade(db: Db = None, as_json: Json = False) -> None:
    """Make the tables, or bring them to the version of this code; nothing happens when they are there.

    [bold]Example[/bold]

      stackl-flow db upgrade --db sqlite:///flows.db
    """
    place = needed(db)
    with answering(as_json=as_json) as out:
        name = opening.upgrade(place)
        out.answer(f"{name} is up to date", {"database": name, "up_to_date": True})


# With a single command typer would drop its name; this keeps `db upgrade` two words.
@app.callback()
def _db() -> None:
    """Care of the database where flows are stored."""

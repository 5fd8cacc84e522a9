"""Databases and schemas of one test, on a server that all tests share."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg
import sqlalchemy as sa

DRIVERS = {"mysql": "mysql+pymysql", "postgresql": "postgresql+psycopg"}


class TemporaryDatabase(NamedTuple):
    """A database or schema: its URL, its name, and a connection to the server that commits each statement."""

    url: str
    name: str
    server: Any


@contextmanager
def new_database(url: str, options: str = "") -> Iterator[TemporaryDatabase]:
    """Create a database on the server of a URL, and drop it at the end.

    Args:
        url: the URL of a database on a MariaDB or PostgreSQL server.
        options: options of CREATE DATABASE.

    Yields:
        The database; its connection is SQLAlchemy's.
    """
    kind = url.partition("://")[0]
    name = f"test_{uuid.uuid4().hex}"
    server_url = sa.make_url(url).set(drivername=DRIVERS[kind])
    engine = sa.create_engine(server_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as server:
        server.execute(sa.text(f"CREATE DATABASE {name} {options}"))
        try:
            yield TemporaryDatabase(f"{url.rpartition('/')[0]}/{name}", name, server)
        finally:
            force = " WITH (FORCE)" if kind == "postgresql" else ""
            server.execute(sa.text(f"DROP DATABASE {name}{force}"))
    engine.dispose()


@contextmanager
def new_schema(url: str) -> Iterator[TemporaryDatabase]:
    """Create a schema in a PostgreSQL database, and drop it at the end.

    Yields:
        The schema; its connection is psycopg's. Connections to its URL have its name as ``application_name``.
    """
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"CREATE SCHEMA {name}")
        try:
            options = f"options=-csearch_path%3D{name}&application_name={name}"
            yield TemporaryDatabase(f"{url}?{options}", name, server)
        finally:
            server.execute(f"DROP SCHEMA {name} CASCADE")

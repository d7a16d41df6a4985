"""Fixtures that integration tests share."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaError
from sqlalchemy.schema import CreateSchema

from entitlements.tables import metadata
from tests import toys
from tests.yard import Yard


@pytest.fixture
def yard(kafka: str, fresh_database: str) -> Iterator[Yard]:
    """A topic, a schema with the ledger and the toys, and ways to run the runner between them."""
    url = sa.make_url(fresh_database).set(drivername="postgresql+psycopg2")
    engine = sa.create_engine(url, connect_args={"options": f"-csearch_path={toys.SCHEMA}"}, hide_parameters=True)
    with engine.begin() as connection:
        connection.execute(CreateSchema(toys.SCHEMA))
        metadata.create_all(connection)
        toys.toys.metadata.create_all(connection)
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    producer = KafkaProducer(bootstrap_servers=kafka)
    topic = f"toys-{uuid.uuid4().hex}"
    yield Yard(kafka=kafka, url=fresh_database, topic=topic, engine=engine, admin=admin, producer=producer)
    with contextlib.suppress(KafkaError):
        admin.delete_topics([topic])
    producer.close()
    admin.close()
    engine.dispose()


@pytest.fixture
def nothing_unheard(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No task and no callback of these tests ends in an exception that nobody takes."""
    yield
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []

"""Fixture check."""
import sqlalchemy as sa
from kafka import KafkaAdminClient
def test_a(fresh_database: str, kafka: str) -> None:
    """x"""
    e = sa.create_engine(sa.make_url(fresh_database).set(drivername="postgresql+psycopg2"), poolclass=sa.NullPool)
    with e.connect() as c: assert "test_" in c.scalar(sa.text("select current_database()"))
    a = KafkaAdminClient(bootstrap_servers=kafka); a.list_topics(); a.close()

"""The check that gateways make on every request: from memory, from the database, and beside what else answers."""

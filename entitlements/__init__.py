"""What Postgres holds of paid cycles, and the answers derived from it."""

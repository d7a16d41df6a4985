"""The database's shape, one step at a time. Facts are append-only: a step never rewrites one."""

"""The steps of the settings' own schema, in order; those of the facts are in `versions`."""

"""Pure domain rules over values and frames: no I/O, no Dagster, no network."""

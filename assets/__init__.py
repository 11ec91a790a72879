"""What is built, in reading order: Dagster assets and, in `rules`, the pure logic they call."""

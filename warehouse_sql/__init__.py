"""How it looks in ClickHouse: migrations, transforms and the one client."""

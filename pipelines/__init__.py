"""When and with what it runs: definitions, resources, settings and the command line."""

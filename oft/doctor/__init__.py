"""What would stop a run, found before it starts: settings, sources, adapters, judges, the machine."""

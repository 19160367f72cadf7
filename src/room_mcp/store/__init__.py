"""Where rooms are kept: one interface, one file per engine."""

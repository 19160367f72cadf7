"""Moving all rooms from one store to another, of the other engine, while they are used."""

"""The loop under load, for a minute in `make test` and as long as FERRIO_SOAK_SECONDS says in `make soak`."""

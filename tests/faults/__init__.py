"""The site while everything that can break does: `make faults`, and a short form in `make test`."""

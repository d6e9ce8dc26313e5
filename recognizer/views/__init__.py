"""Doors of the pages. Each view asks a service and shows what it says; no rule lives here."""

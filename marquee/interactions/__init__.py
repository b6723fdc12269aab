"""Interactions: table columns, validation, aggregation, splitting and the interaction matrix."""

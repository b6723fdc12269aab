"""Interaction data: table schema, validation, deduplication, splitting and the interaction matrix."""

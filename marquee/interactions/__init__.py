"""Interactions: table columns, validation, deduplication, splitting and the interaction matrix."""

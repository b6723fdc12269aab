"""Crash-safe files: atomic writes, append-only journals, locks and digests."""

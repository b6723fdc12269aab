"""Crash-safe files: atomic writes, append-only files, locks and digests."""

"""Marquee and its peers in one run: each module prints a table and can write it as JSON."""

"""Shared code of stages and commands: runners, paths, console, results and Bentos."""

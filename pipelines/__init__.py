"""Verbs: one module a stage or command. They read, call the other packages, and write."""

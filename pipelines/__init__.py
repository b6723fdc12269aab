"""Verbs: one module a stage or command. They read, call the other packages, and write."""

import time

STARTED = time.time()  # of this process: this file runs before a stage's own imports, which take seconds

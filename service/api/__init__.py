"""HTTP: reads requests, asks the replica, writes answers and problems."""

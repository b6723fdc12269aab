"""What the replica is compared with: each a server, as one would write it first."""

"""The stack on one machine: what runs, where, and who looks after it.

Stack (layout.py) ──► supervisor.py ──► launch.py ──► gateways, replicas, controller, warden
  run/stack.json       circus            one process each, no shell and no parent in between
  run/arms.json        which Bento an arm's replicas are started with
"""

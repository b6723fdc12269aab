"""Rollouts: the journal, what is seen of one, the hands that change things, and the loop that decides.

journal.py ──► watching.py ──► marquee.rollout.policy ──► controlling.py ──► hands.py ──► gateways, replicas

The loop knows the others by the protocols in interfaces.py.
"""

"""Control of rollouts: the loop that observes, decides and acts, and the files that it keeps.

    events, gateways ─► observer ─► marquee.rollout.policy ─► controller ─► actuator ─► gateways, replicas
                                                              │      │
                                                           journal  reporter ─► status file, MLflow

The controller uses observer, actuator and reporter through the protocols in `interfaces`. `checkpoint` saves
what the observer has counted, and `preflight` runs before a rollout starts.
"""

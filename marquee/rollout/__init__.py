"""Rollout statistics: from events to a decision.

    events ─► cohort ─► accumulator ─► evidence ─► policy ─► decision
              users     tests                      rules

`cohort` counts each user once, `accumulator` feeds the counts to the tests of `alarms` and
`sequential_tests`, `policy.decide` turns the evidence into a decision, and `state` replays the journal of a
rollout. Nothing here does I/O.
"""

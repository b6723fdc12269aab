"""The search: which parameters to try, on how many workers, and what came of each.

run        asks for trainings round by round, gathers
├── crew       the workers of this machine, kept alive
├── planner    which trainings, in which order; allotment: the budget shared by promise
├── studies    what was asked, given out and told: Optuna, in a journal (journal.py) or a database
└── worker     takes a training, does it, tells the outcome
    └── training   all folds in step, every point that one training answers for (space.py, outcome.py)
"""

"""Hyperparameter search: which trainings to run, on which workers, and their results.

run                     runs a search round by round and collects the results
├── specification       inputs of a search, and the search key
├── round_planner       chooses the trainings of each round, and their order
│   └── adaptive_budget gives most trainings to the most promising candidates
├── training_queue      waiting, running and finished trainings in an Optuna study per candidate
│   ├── storage         database or file of the studies; journal_backend: the format of that file
│   └── pruners         choose the trainings to stop early
└── worker_pool         worker processes of this machine
    └── worker          claims trainings, runs them, stores their results
        └── training    fits all folds and scores every point that the training covers

trials                  results of a search, without Optuna
importance              importance of each parameter of a candidate
"""

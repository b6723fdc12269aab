"""Hyperparameter search: which trainings to run, on which workers, and their results.

run                     runs a search round by round and collects the results
├── specification       inputs of a search, and the search key
│   └── metric          the metric, or weighted metrics, by which trials are ordered
├── round_planner       splits trainings into rounds of tasks, and drops trials that are clearly worse
│   ├── training_planner    chooses the trainings: grid, draws, tpe_sampling
│   │   └── adaptive_budget gives most trainings to the most promising candidates
│   └── racing          compares trials with the leader, user by user
├── task_queue          waiting, running and finished tasks in Optuna studies
│   ├── storage         database or file of the studies; journal_backend: the format of that file
│   └── pruners         choose the trainings to stop early
└── worker_pool         worker processes of this machine
    └── worker          claims tasks, runs them, stores their results
        └── training    fits a training on one part or all folds and scores every point that it covers

training_result         results of tasks, and the trials that they add up to
trials                  results of a search, without Optuna
user_scores             NDCG of single users for every trial, as a file
importance              importance of each parameter of a candidate
"""

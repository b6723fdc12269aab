"""Model selection: the rule, its budgets and its explanation."""

"""Accuracy, time and memory of Marquee, scikit-surprise, Cornac, LensKit and implicit on the same folds.

compared_algorithms   algorithms to compare, their arguments, and the targets
marquee_job           one measurement of Marquee in its own process
surprise_job          the same for scikit-surprise
peer_job              the same for Cornac, LensKit or implicit, in their own environment
paired_runs           runs of two libraries in turn, and their comparison
sections              sections of the benchmark, one function each
comparisons           results: Marquee's value, the peer's value and the target; conversion to and from JSON
result_tables         results as Markdown tables
speedup_figure        results as a bar chart
"""

"""Marquee beside scikit-surprise and other peers on the same folds: what each costs, how well it predicts.

contenders   which algorithms, with which arguments, and what is to be reached
ours, theirs one measurement of Marquee, of Surprise, in its own process (other peers: benchmarks/peers.py)
duels        two sides in turn, as rows
plan         the parts of the table, one function each
rows         a row: ours, the peer's, the target; to and from JSON
markdown     rows as tables
figure       rows as a picture
"""

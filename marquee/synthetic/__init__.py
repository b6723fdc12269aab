"""Ratings from planted factors: the embedded dataset, and the ground truth behind it.

    SyntheticSpec ──► plant ──► GroundTruth ──► chosen, when ──► what they'd rate ──► ratings
       spec.py       planting.py   truth.py         rating_log.py        truth.py
                                       └──► item_table (titles.py, genres.py)

The model in formulas, and how near it comes to MovieLens, is in docs/synthetic.md.
"""

from marquee.synthetic.ground_truth import GroundTruth
from marquee.synthetic.rating_log import SyntheticRatings, generate, generate_in_pieces
from marquee.synthetic.sampling import plant
from marquee.synthetic.spec import SyntheticSpec
from marquee.synthetic.titles import item_table

__all__ = [
    "GroundTruth",
    "SyntheticRatings",
    "SyntheticSpec",
    "generate",
    "generate_in_pieces",
    "item_table",
    "plant",
]

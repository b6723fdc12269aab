"""Synthetic ratings from planted factors: the embedded data set, and the ground truth behind it.

    SyntheticSpec ──► draw_ground_truth ──► GroundTruth ──► generate_dataset ──► ratings
       spec.py           sampling.py       ground_truth.py    rating_log.py
                                                ├─────► generate_items ──► items
                                                │         titles.py, words.py, genres.py
                                                └─────► choice_probabilities: what users would choose next
                                                          choice.py

docs/synthetic.md has the formulas of the model and a comparison with MovieLens.
"""

from marquee.synthetic.choice import choice_probabilities
from marquee.synthetic.ground_truth import GroundTruth
from marquee.synthetic.item_catalog import generate_items
from marquee.synthetic.rating_log import SyntheticDataset, generate_dataset, generate_rating_chunks
from marquee.synthetic.sampling import draw_ground_truth
from marquee.synthetic.spec import SyntheticSpec

__all__ = [
    "GroundTruth",
    "SyntheticDataset",
    "SyntheticSpec",
    "choice_probabilities",
    "draw_ground_truth",
    "generate_dataset",
    "generate_items",
    "generate_rating_chunks",
]

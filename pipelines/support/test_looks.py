"""Record of the choices that were scored on each test set: every further one makes its scores less honest."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict

from marquee.files.atomic_write import write_json
from marquee.files.digest import sha256_of
from marquee.model.recipe import Recipe
from pipelines.support.json_reader import read_json
from pipelines.support.paths import TEST, TEST_LOOKS


def record_test_look(recipes: Mapping[str, Recipe]) -> int:
    """Record that these recipes are scored on the test set; return how many different choices were, so far.

    Scoring the same choice again reveals nothing new, so it counts once. The record belongs to this clone.
    """
    test_set, choice = sha256_of(TEST)[:16], _digest_choice(recipes)
    looks = read_json(TEST_LOOKS) if TEST_LOOKS.exists() else {}
    choices = looks.setdefault(test_set, [])
    if choice not in choices:
        choices.append(choice)
        write_json(TEST_LOOKS, looks)
    return len(choices)


def count_test_looks() -> int:
    """Return the number of different choices that were scored on the test set in this clone."""
    looks = read_json(TEST_LOOKS) if TEST_LOOKS.exists() else {}
    return len(looks.get(sha256_of(TEST)[:16], []))


def _digest_choice(recipes: Mapping[str, Recipe]) -> str:
    content = json.dumps({role: asdict(recipe) for role, recipe in recipes.items()}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]

"""Seeds come from names, so a new use never shifts the others."""

from marquee.seeds import rng_for, seed_for


def test_a_seed_depends_on_the_root_and_on_every_key() -> None:
    seeds = {
        seed_for(1, "a"),
        seed_for(2, "a"),
        seed_for(1, "b"),
        seed_for(1, "a", 0),
        seed_for(1, "a", 1),
        seed_for(1),
    }
    assert len(seeds) == 6


def test_a_number_and_its_text_are_different_keys() -> None:
    assert seed_for(1, 0) != seed_for(1, "0")


def test_a_seed_is_the_same_for_ever() -> None:
    assert seed_for(42, "search", "svd", 0) == 252_908_068


def test_a_seed_suits_every_generator() -> None:
    assert all(0 <= seed_for(root, "x") < 2**31 for root in range(100))


def test_generators_of_one_use_repeat() -> None:
    assert rng_for(7, "x").random() == rng_for(7, "x").random()

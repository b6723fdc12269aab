"""Seeds and random generators derived from the root seed and keys."""

from marquee.seeds import rng_for, seed_for


def test_seed_depends_on_root_and_every_key() -> None:
    seeds = {
        seed_for(1, "a"),
        seed_for(2, "a"),
        seed_for(1, "b"),
        seed_for(1, "a", 0),
        seed_for(1, "a", 1),
        seed_for(1),
    }
    assert len(seeds) == 6


def test_integer_and_its_string_are_different_keys() -> None:
    assert seed_for(1, 0) != seed_for(1, "0")


def test_seed_is_stable_across_versions() -> None:
    assert seed_for(42, "search", "svd", 0) == 252_908_068


def test_seed_is_a_31_bit_integer() -> None:
    assert all(0 <= seed_for(root, "x") < 2**31 for root in range(100))


def test_generators_with_equal_keys_are_equal() -> None:
    assert rng_for(7, "x").random() == rng_for(7, "x").random()

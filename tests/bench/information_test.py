import numpy as np
import pytest

from usergpt_jax.bench import baselines, information, metrics
from usergpt_jax.schema import NA, Tag, TagSchema

PHRASES = {"cat": "with a cat", "dog": "with a dog"}
PET, HOME = (Tag(name, "LI", "Which?", tuple(PHRASES), PHRASES) for name in ("pet", "home"))
SCHEMA = TagSchema("two tags", (PET, HOME), {"LI": "Lifestyle"}, ())


def users(n_users, seed, telling=True):
    """Who has a dog buys leashes; all else is noise, and so is `home`."""
    rng = np.random.default_rng(seed)
    gold = [{name: str(rng.choice(list(PHRASES))) for name in SCHEMA.names} for _ in range(n_users)]
    bags = []
    for values in gold:
        bag = {f"word {word}": 1.0 for word in rng.choice(12, 4, replace=False)}
        bags.append({**bag, "Leash": 2.0} if telling and values["pet"] == "dog" else bag)
    return bags, gold


def test_a_telling_word_is_recovered_and_noise_is_not():
    found = information.recover(SCHEMA, users(80, 0), users(60, 1), grid=(0.01, 0.1), n_folds=2, min_users=2)
    pet, home = found.credit.mean(0)
    assert pet == 1.0
    assert 0.2 < home < 0.8
    assert found.n_words == 13


def test_rotation_keeps_inner_products_and_what_a_linear_model_predicts():
    rng = np.random.default_rng(0)
    x, x_test = rng.normal(size=(30, 200)).astype(np.float32), rng.normal(size=(20, 200)).astype(np.float32)
    z, z_test = information.rotated(x, x_test)
    assert z.shape == (30, 30)
    np.testing.assert_allclose(z @ z.T, x @ x.T, atol=1e-2)
    np.testing.assert_allclose(z_test @ z.T, x_test @ x.T, atol=1e-2)
    gold = users(30, 2)[1]
    both = [baselines.linear(SCHEMA, a, gold, b, c=0.01, label="") for a, b in ((x, x_test), (z, z_test))]
    assert both[0] == both[1]


def test_fewer_words_than_users_are_left_as_they_are():
    x = np.ones((3, 2), np.float32)
    assert information.rotated(x, x)[0] is x


def test_the_strength_is_the_best_on_held_out_training_users_and_the_smallest_of_equals():
    x = np.zeros((6, 1), np.float32)
    gold = [{"pet": "cat", "home": "dog"}] * 6
    assert information.choose_c(SCHEMA, x, gold, (0.3, 0.1, 0.2), n_folds=3) == 0.1
    rng = np.random.default_rng(0)
    sign = np.where(np.arange(90) % 3 == 0, 1.0, -1.0)  # too weak a model says "cat", the commoner, of all
    x = (sign[:, None] + 0.3 * rng.normal(size=(90, 1))).astype(np.float32)
    gold = [{"pet": "dog" if one > 0 else "cat", "home": "cat"} for one in sign]
    assert information.choose_c(SCHEMA, x, gold, (1e-6, 1.0), n_folds=2) == 1.0


def test_the_mean_over_tags_weighs_tags_alike_and_counts_what_is_known():
    gold = [{"pet": "cat", "home": NA}, {"pet": "dog", "home": "cat"}]
    guesses = [{"pet": "cat", "home": "cat"}, {"pet": "cat", "home": "cat"}]
    credit, known = information.credit(SCHEMA, guesses, gold), information.known(SCHEMA, gold)
    draws = metrics.draw_weights(2, 20, seed=0)
    np.testing.assert_array_equal(credit, [[1, 0], [0, 1]])
    everyone = information.mean_over_tags(credit, np.ones_like(known), draws)
    assert everyone.value == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert everyone.low <= everyone.value <= everyone.high
    # home is known of the second user alone, who is right
    assert information.mean_over_tags(credit, known, draws).value == pytest.approx((1 / 2 + 1) / 2)

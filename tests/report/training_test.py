from usergpt_jax.report.training import group


def test_counts_by_reason_share_a_panel():
    names = ["reward", "dropped_format", "kl", "dropped_length", "groups_poor"]
    assert group(names) == {
        "reward": ["reward"],
        "dropped": ["dropped_format", "dropped_length"],
        "kl": ["kl"],
        "groups_poor": ["groups_poor"],
    }

import pytest

from usergpt_jax.semantize import mub
from usergpt_jax.semantize.pipeline import semantize_events


@pytest.mark.parametrize("max_tokens", [100, 200, 400, 800])
def test_no_mub_exceeds_the_budget_and_no_line_is_cut(max_tokens, events, semantize_config, tokenizer):
    whole = semantize_events(events, semantize_config(), tokenizer).mub
    made = semantize_events(events, semantize_config(max_mub_tokens=max_tokens), tokenizer).mub
    for full, fitted in zip(whole.iter_rows(named=True), made.iter_rows(named=True), strict=True):
        assert fitted["mub_tokens"] <= max_tokens
        headers = {(one.source, one.time, one.action): one for one in mub.parse(full["mub"])}
        for line in mub.parse(fitted["mub"]):
            before = headers[line.source, line.time, line.action]
            assert line.count == before.count
            assert set(line.items) <= set(before.items)


def test_distant_purchases_outlive_daily_browsing(events, semantize_config, tokenizer):
    config = semantize_config(recent_days=60, max_mub_tokens=1600)
    loose = semantize_events(events, semantize_config(recent_days=60, max_mub_tokens=10**6), tokenizer)
    for before, after in zip(loose.mub["mub"], semantize_events(events, config, tokenizer).mub["mub"], strict=True):
        years = [(line.time, line.source, line.action) for line in mub.parse(before) if len(line.time) == 4]
        kept = [(line.time, line.source, line.action) for line in mub.parse(after)]
        assert len(years) > 2
        assert set(years) <= set(kept)
        assert len(kept) < len(mub.parse(before))


def test_a_tokenizer_that_makes_more_of_the_whole_still_fits(events, semantize_config, tokenizer):
    class Jealous(type(tokenizer)):
        def encode(self, text):
            return super().encode(text) * (2 if " | " in text else 1)

    made = semantize_events(events, semantize_config(max_mub_tokens=600), Jealous()).mub
    assert (made["mub_tokens"] <= 600).all()
    assert (made["mub_tokens"] > 0).all()

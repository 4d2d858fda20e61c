import re

import numpy as np
import pytest

from usergpt_jax.report import figures, palette

WEEKS = [np.datetime64("2024-01-01") + np.timedelta64(7 * i, "D") for i in range(60)]
PLOTS = {
    "curves": lambda: figures.curves(
        [figures.Curve("a", "stage1", list(range(50)), list(range(50)))], y_label="y", alt="<alt>"
    ),
    "one_point": lambda: figures.curves(
        [figures.Curve("a", "stage1", [1], [2.0])], y_label="y", alt="<alt>", bottom=0.0
    ),
    "intervals": lambda: figures.intervals(
        [figures.Estimate("<m>", "linear", "^", 0.5, 0.4, 0.6)], x_label="x", alt="<alt>", x_range=(0.0, 1.0)
    ),
    "bars": lambda: figures.bars({"$a$": 0.0, "b": 1e6}, x_label="x", alt="<alt>"),
    "no_counts": lambda: figures.bars({"a": 0}, x_label="x", alt="<alt>"),
    "shares": lambda: figures.share_histogram(np.array([-0.5, 0.9, 1.0]), x_label="x", y_label="y", alt="<alt>"),
    "equal_shares": lambda: figures.share_histogram(np.array([1.0, 1.0]), x_label="x", y_label="y", alt="<alt>"),
    "sizes": lambda: figures.size_histograms(
        {"raw": ("muted", np.array([10, 20, 4000]))}, x_label="x", y_label="y", alt="<alt>"
    ),
    "equal_sizes": lambda: figures.size_histograms(
        {"raw": ("muted", np.array([7, 7]))}, x_label="x", y_label="y", alt="<alt>"
    ),
    "time": lambda: figures.over_time(WEEKS, {"poi": ("accent", np.arange(60))}, y_label="y", alt="<alt>"),
    "one_week": lambda: figures.over_time(WEEKS[:1], {"poi": ("accent", np.arange(1))}, y_label="y", alt="<alt>"),
}


@pytest.mark.parametrize("name", PLOTS)
def test_plot_is_themed_repeatable_and_has_alternative_text(name):
    svg = PLOTS[name]()
    assert svg == PLOTS[name]()
    assert svg.startswith('<svg role="img" viewBox=')
    assert 'aria-label="&lt;alt&gt;"' in svg
    assert "http" not in svg
    assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) == set()
    assert set(re.findall(r"var\(--([\w-]+)\)", svg)) <= palette.COLOURS.keys()


def test_names_in_a_plot_are_escaped_and_no_formula():
    assert "<m>" not in PLOTS["intervals"]()
    assert "$a$" in PLOTS["bars"]()


def test_running_mean_shortens_its_window_at_the_ends():
    # windows: [1 2] [1 2 6] [2 6 7] [6 7]
    np.testing.assert_allclose(figures.running_mean([1, 2, 6, 7], 1), [1.5, 3.0, 5.0, 6.5])


def test_light_shades_are_distinct():
    shades = [light for light, _ in palette.COLOURS.values()]
    assert len(shades) == len(set(shades))


def test_every_model_has_its_own_colour():
    known = [*palette.MODELS, "theirs", "another"]
    assert len({palette.model_style(name, known)[0] for name in known}) == len(known)
    assert palette.in_order({"theirs", "df_grpo", "majority"}) == ["majority", "df_grpo", "theirs"]

"""The colours of the report: one name, a light and a dark shade; plots and page share them as CSS variables."""

# name -> (light, dark). Light shades are distinct: `figures` draws with them and puts the variable in their place.
COLOURS = {
    "paper": ("#ffffff", "#14161b"),
    "raised": ("#f6f7f9", "#1c1f26"),
    "rule": ("#dfe2e8", "#343946"),
    "faint": ("#eceef2", "#272b34"),
    "muted": ("#5d6472", "#9ba3b4"),
    "ink": ("#1b1f29", "#e7eaf1"),
    "accent": ("#1f5fbf", "#6c9df0"),
    "mark": ("#fff0bd", "#4a3d10"),
    "good": ("#1e7a46", "#63c98f"),
    "bad": ("#b3362b", "#f08a7e"),
    # Models: greys and earth for baselines, a deepening blue for the curriculum, vermilion for DF-GRPO.
    "majority": ("#8d93a1", "#8a91a1"),
    "rule-labels": ("#a8793a", "#d1a768"),
    "linear": ("#2b8478", "#58bfb0"),
    "linear-mub": ("#75b5a8", "#8fd6ca"),
    "stage1": ("#94b4e3", "#4f6f9f"),
    "stage2": ("#5686cf", "#6a9be6"),
    "stage3": ("#204f9e", "#a6c8ff"),
    "df-grpo": ("#cf4a2b", "#ff8a68"),
    # Anything else that is plotted: event sources, filter counts, models of other makers.
    "other-1": ("#7a4fa3", "#bb96e0"),
    "other-2": ("#b5527f", "#e391b5"),
    "other-3": ("#6d8a2f", "#aecb6c"),
    "other-4": ("#4a7d94", "#86bcd4"),
}

OTHER = ("other-1", "other-2", "other-3", "other-4")

# Models in the order of every table and plot: (colour, marker, what it is).
MODELS = {
    "majority": ("majority", "s", "the most frequent value of the training users"),
    "rule": ("rule-labels", "D", "a lexicon of evidence, read by rule"),
    "linear": ("linear", "^", "a linear model on category counts of the raw log"),
    "linear_mub": ("linear-mub", "v", "a linear model that sees only the MUB"),
    "stage1": ("stage1", "o", "after SFT on standard questions"),
    "stage2": ("stage2", "o", "after SFT on controversial questions"),
    "stage3": ("stage3", "o", "after SFT on summaries"),
    "df_grpo": ("df-grpo", "P", "after DF-GRPO"),
}


def model_style(name: str, known: list[str]) -> tuple[str, str]:
    """Colour name and marker of a model; a stranger to this pipeline takes a spare colour by its place in `known`."""
    if name in MODELS:
        return MODELS[name][:2]
    strangers = [model for model in known if model not in MODELS]
    return OTHER[strangers.index(name) % len(OTHER)], "X"


def in_order(models: set[str]) -> list[str]:
    """Models in the order of `MODELS`, then others by name."""
    return [name for name in MODELS if name in models] + sorted(models - MODELS.keys())


def light(name: str) -> str:
    """The light shade, as hex."""
    return COLOURS[name][0]


def css_variables() -> str:
    """The colours as CSS custom properties, light by default and dark where the reader's system asks for it."""
    shades = [" ".join(f"--{name}: {pair[i]};" for name, pair in COLOURS.items()) for i in (0, 1)]
    return (
        f":root {{ color-scheme: light dark; {shades[0]} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {shades[1]} }} }}\n"
    )

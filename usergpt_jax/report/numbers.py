"""How figures are written, the same everywhere in the report."""

from usergpt_jax.schema import Result


def count(value: float) -> str:
    """12,345; a fraction keeps three digits."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3g}" if abs(value) < 100 else f"{value:,.1f}"


def percent(share: float) -> str:
    """A share in [0, 1] as 97.9 %."""
    return f"{share:.1%}".replace("%", "\N{NO-BREAK SPACE}%")


def duration(seconds: float) -> str:
    """8.4 s, 2 m 05 s or 1 h 03 m."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds) // 60
    return f"{minutes} m {round(seconds) % 60:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} m"


def estimate(result: Result) -> str:
    """0.812 [0.790, 0.833]."""
    return f"{result.value:.3f} {bounds(result)}"


def bounds(result: Result) -> str:
    """[0.790, 0.833]."""
    return f"[{result.low:.3f}, {result.high:.3f}]"

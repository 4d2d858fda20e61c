"""Prices of the catalogue: how brand, shop and variant move them. All choices are ours."""

import re
from collections.abc import Sequence

import numpy as np

TIER_LOG_PRICE = 0.36  # log price between neighbouring brand tiers
_BRAND_LOG_PRICE = 0.1  # between the two brands of a tier
_SHOP_LOG_PRICE = 0.04
_VARIANT_LOG_PRICE = 0.06  # from a variant of goods to the next, where neither quantity nor class says more
# Log price of a class, cabin, term or size over the plain one.
_CLASS_LOG_PRICE = {
    "Standing": -0.6, "Red Eye": -0.35, "First Class": 0.5, "Business Class": 1.1, "Premium": 0.6, "Soft": 0.4,
    "Executive": 0.4, "Sea View": 0.2, "Family": 0.5, "Villa": 0.9, "Balcony": 0.5, "Van": 0.4, "SUV": 0.4,
    "Pair": 0.69, "Season": 2.3, "Half Year": 0.69, "Quarterly": 1.0, "Yearly": 2.2, "Early Repayment": 2.3,
    "Three Years": 0.7, "Twelve Months": 0.9, "Full Day": 0.4, "Truck": 0.7, "Small Move": -0.5,
}  # fmt: skip
# Log price for each log of the quantity that a variant states: packs cost less a piece.
_ELASTICITY = {
    **dict.fromkeys(("kg", "g", "l", "ml"), 0.8),
    **dict.fromkeys(("pieces", "pairs", "tablets", "packs", "rolls", "boxes", "bags", "cups", "sheets"), 0.75),
    **dict.fromkeys(("yuan", "dollars"), 1.0),
    **dict.fromkeys(("gb", "tb", "w", "cm", "mm", "m", "inch"), 0.4),
    **dict.fromkeys(("roses", "days", "person"), 0.6),
}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?) ?([a-z]+)")


def title_log_price(brand: np.ndarray | int, shop: np.ndarray | int) -> np.ndarray:
    """Log price of a brand's listing over the leaf's.

    log = 0.36 (tier - 2) + 0.1 (place in the tier - 1/2) + 0.04 (shop - 1/2)

    Args:
      brand: 0 to 11, two of each tier.
      shop: 0 or 1.
    """
    tier, second = np.divmod(np.asarray(brand, np.int64), 2)
    of_brand = TIER_LOG_PRICE * (tier - 2) + _BRAND_LOG_PRICE * (second - 0.5)
    return np.asarray(of_brand + _SHOP_LOG_PRICE * (np.asarray(shop) - 0.5))


def variant_log_prices(names: Sequence[str], by_destination: bool) -> np.ndarray:
    """Log prices of variants over the leaf's: by the quantity that all state, by class, else a small step each.

    Args:
      names: the variants, such as ("5 kg", "10 kg"); their mean log price is then the leaf's.
      by_destination: of travel goods, whose variants cost the same unless they name a class.
    """
    stated = [_QUANTITY.fullmatch(name.lower()) for name in names]
    units = {match[2] for match in stated if match}
    if all(stated) and len(units) == 1 and (unit := units.pop()) in _ELASTICITY:
        logs = np.array([_ELASTICITY[unit] * np.log(float(match[1])) for match in stated if match])
        return logs - logs.mean()
    if any(name in _CLASS_LOG_PRICE for name in names):
        return np.array([_CLASS_LOG_PRICE.get(name, 0.0) for name in names])
    return np.arange(len(names)) * (0.0 if by_destination else _VARIANT_LOG_PRICE)

"""Marked days: sales, festivals, seasons and the week, as a table [D, C] of 0/1."""

import datetime

import numpy as np

FEATURES = (
    "double11", "618", "spring_festival", "spring_travel", "qingming", "may_day", "national_day", "back_to_school",
    "gaokao", "valentines", "weekend", "spring", "summer", "winter",
)  # fmt: skip

# First day of the lunar year.
SPRING_FESTIVAL = {
    2015: (2, 19), 2016: (2, 8), 2017: (1, 28), 2018: (2, 16), 2019: (2, 5), 2020: (1, 25), 2021: (2, 12),
    2022: (2, 1), 2023: (1, 22), 2024: (2, 10), 2025: (1, 29), 2026: (2, 17), 2027: (2, 6),
}  # fmt: skip
QIXI = {
    2015: (8, 20), 2016: (8, 9), 2017: (8, 28), 2018: (8, 17), 2019: (8, 7), 2020: (8, 25), 2021: (8, 14),
    2022: (8, 4), 2023: (8, 22), 2024: (8, 10), 2025: (8, 29), 2026: (8, 19), 2027: (8, 8),
}  # fmt: skip
FIRST_YEAR, LAST_YEAR = min(SPRING_FESTIVAL), max(SPRING_FESTIVAL)


def epoch_day(date: datetime.date) -> int:
    """Days from 1970-01-01."""
    return date.toordinal() - datetime.date(1970, 1, 1).toordinal()


def date_of(day: int) -> datetime.date:
    """The date of an epoch day."""
    return datetime.date.fromordinal(day + datetime.date(1970, 1, 1).toordinal())


def day_features(start_day: int, n_days: int) -> np.ndarray:
    """Which marked days each of `n_days` days from `start_day` (epoch days) is: float32 [D, C]."""
    table = np.zeros((n_days, len(FEATURES)), np.float32)
    for row in range(n_days):
        for name in _marks(date_of(start_day + row)):
            table[row, FEATURES.index(name)] = 1.0
    return table


def sale_discount(features: np.ndarray) -> np.ndarray:
    """Price factor of each day: 0.8 on Double 11, 0.85 at 618, 1 otherwise: float64 [D]."""
    double11, june = (features[:, FEATURES.index(name)] > 0 for name in ("double11", "618"))
    return np.where(double11, 0.8, np.where(june, 0.85, 1.0))


def _marks(date: datetime.date) -> list[str]:
    key = (date.month, date.day)
    festival = datetime.date(date.year, *SPRING_FESTIVAL[date.year])
    offset = (date - festival).days
    spans = {
        "double11": (11, 10) <= key <= (11, 12),
        "618": (6, 16) <= key <= (6, 19),
        "spring_festival": -2 <= offset <= 7,
        "spring_travel": -12 <= offset <= 10,
        "qingming": (4, 3) <= key <= (4, 6),
        "may_day": (4, 29) <= key <= (5, 5),
        "national_day": (9, 29) <= key <= (10, 7),
        "back_to_school": (8, 20) <= key <= (9, 10),
        "gaokao": (4, 15) <= key <= (6, 6),
        "valentines": key in ((2, 13), (2, 14)) or key == QIXI[date.year],
        "weekend": date.weekday() >= 5,
        "spring": date.month in (3, 4, 5),
        "summer": date.month in (7, 8),
        "winter": date.month in (12, 1, 2),
    }
    return [name for name, marked in spans.items() if marked]

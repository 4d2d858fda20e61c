import datetime

import numpy as np
import pytest

from usergpt_jax import locales
from usergpt_jax.core.errors import InputError
from usergpt_jax.schema import SOURCES
from usergpt_jax.simulate import calendar, calendar_rules

LOCALES = ("cn", "us")
FIRST, LAST = datetime.date(calendar.FIRST_YEAR, 1, 1), datetime.date(calendar.LAST_YEAR, 12, 31)
# Share of all trips that people of each travel pattern take, as the simulated population does.
TRIP_SHARE = {"none": 0.04, "home_return": 0.1, "domestic_leisure": 0.45, "business": 0.32, "outbound": 0.09}


def calendar_of(locale, first, last):
    days = calendar.epoch_day(last) - calendar.epoch_day(first) + 1
    return calendar.load(locale, calendar.epoch_day(first), days)


@pytest.fixture(scope="module", params=LOCALES)
def all_years(request):
    return calendar_of(request.param, FIRST, LAST)


@pytest.fixture(scope="module")
def cn():
    return calendar_of("cn", FIRST, LAST)


def row(table, *date):
    return calendar.epoch_day(datetime.date(*date)) - table.start_day


def marks(table, *date):
    return {name for name, on in zip(calendar.FEATURES, table.features[row(table, *date)], strict=True) if on}


def test_days_and_dates_are_inverse():
    assert calendar.epoch_day(datetime.date(1970, 1, 2)) == 1
    assert calendar.date_of(calendar.epoch_day(datetime.date(2024, 2, 29))) == datetime.date(2024, 2, 29)


@pytest.mark.parametrize(
    ("date", "feature", "name"),
    [
        ((2016, 2, 8), "main_festival", "Spring Festival"),
        ((2025, 1, 29), "main_festival", "Spring Festival"),
        ((2020, 4, 4), "spring_break", "Qingming Festival"),
        ((2024, 6, 10), "dragon_boat", "Dragon Boat Festival"),
        ((2025, 5, 31), "dragon_boat", "Dragon Boat Festival"),
        ((2024, 9, 17), "autumn_festival", "Mid-Autumn Festival"),
        ((2025, 10, 6), "autumn_festival", "Mid-Autumn Festival"),
        ((2024, 8, 10), "lovers_day", "Qixi"),
        ((2023, 10, 23), "parents_day", "Double Ninth"),
        ((2024, 5, 12), "parents_day", "Mother's Day"),
        ((2025, 6, 15), "parents_day", "Father's Day"),
        ((2018, 11, 11), "major_sale", "Double 11"),
        ((2019, 6, 18), "mid_sale", "618"),
    ],
)
def test_festivals_of_cn_lie_on_their_dates(cn, date, feature, name):
    assert feature in marks(cn, *date)
    assert cn.festival_name[row(cn, *date)] == name


@pytest.mark.parametrize(
    ("date", "feature", "name"),
    [
        ((2024, 11, 29), "major_sale", "Black Friday"),
        ((2025, 11, 27), "autumn_holiday", "Thanksgiving"),
        ((2025, 5, 26), "may_holiday", "Memorial Day"),
        ((2024, 9, 2), "minor_sale", "Labor Day"),
        ((2024, 3, 31), "spring_break", "Easter"),
        ((2025, 7, 8), "mid_sale", "Prime Days"),
        ((2023, 1, 1), "main_festival", "New Year's Day"),
    ],
)
def test_festivals_of_us_lie_on_their_dates(date, feature, name):
    table = calendar_of("us", FIRST, LAST)
    assert feature in marks(table, *date)
    assert table.festival_name[row(table, *date)] == name


def test_every_feature_holds_in_every_year(all_years):
    years = np.array([calendar.date_of(all_years.start_day + i).year for i in range(len(all_years.features))])
    for year in range(calendar.FIRST_YEAR, calendar.LAST_YEAR + 1):
        assert all_years.features[years == year].any(axis=0).all(), year


def test_each_day_has_one_season_and_every_weekend_is_off(all_years):
    seasons = all_years.features[
        :, [calendar.FEATURES.index(name) for name in ("spring", "summer", "autumn", "winter")]
    ]
    assert (seasons.sum(axis=1) == 1).all()
    weekday = np.array([calendar.date_of(all_years.start_day + i).weekday() for i in range(len(seasons))])
    np.testing.assert_array_equal(all_years.features[:, calendar.FEATURES.index("weekend")], weekday >= 5)
    assert (all_years.profile[weekday >= 5] > 0).all()


def test_a_window_is_a_cut_of_the_whole_calendar(cn):
    part = calendar_of("cn", datetime.date(2024, 12, 20), datetime.date(2025, 3, 1))
    start = part.start_day - cn.start_day
    for name in ("features", "source_factor", "trip_factor", "order_factor", "discount", "profile"):
        whole = getattr(cn, name)[start : start + len(part.features)]
        np.testing.assert_array_equal(getattr(part, name), whole, err_msg=name)


def test_shopping_waits_for_a_sale_peaks_on_the_day_and_dips_after(cn):
    for year in range(calendar.FIRST_YEAR, calendar.LAST_YEAR + 1):
        shopping = cn.source_factor[:, SOURCES.index("ecommerce")]
        double11, june = row(cn, year, 11, 11), row(cn, year, 6, 18)
        before, after = slice(double11 - 11, double11 - 1), slice(double11 + 2, double11 + 12)
        assert 8 <= shopping[double11] <= 12
        assert 4 <= shopping[june] <= 6
        assert (shopping[before] >= 0.8).all()
        assert (shopping[before] <= 1.2).all()
        assert (cn.order_factor[before] < 0.8).all()
        assert cn.order_factor[double11] > 1
        assert cn.features[before, calendar.FEATURES.index("sale_lead")].all()
        assert (shopping[after] < 0.85).all()
        assert cn.features[after, calendar.FEATURES.index("sale_after")].all()
        assert cn.discount[double11] < cn.discount[june] < 1.0
        assert cn.profile[double11] == calendar.PROFILES.index("major_sale")


@pytest.mark.parametrize(
    ("feature", "uplift"),
    [("main_festival", 3.5), ("spring_break", 2.3), ("may_holiday", 3.5), ("autumn_holiday", 6.0)],
)
def test_trips_on_holidays_rise_over_the_half_year_as_measured(cn, feature, uplift):
    # The mean over patterns, each weighted by its share of all trips.
    rise = np.sum([share * calendar.trip_uplift(cn, pattern) for pattern, share in TRIP_SHARE.items()], axis=0)
    held = cn.features[:, calendar.FEATURES.index(feature)]
    assert rise[held].mean() == pytest.approx(uplift, rel=0.08)


def test_uplift_divides_by_the_mean_of_the_half_year():
    trips = np.ones((4, 5))
    trips[3] = 3.0
    start = calendar.epoch_day(datetime.date(2024, 6, 29))  # two days of each half year
    table = calendar_of("cn", datetime.date(2024, 6, 29), datetime.date(2024, 7, 2))
    table.trip_factor[:] = trips
    assert table.start_day == start
    # Second half: 1 and 3, mean 2.
    np.testing.assert_allclose(calendar.trip_uplift(table, "business"), [1, 1, 0.5, 1.5])


def test_trip_factors_keep_the_yearly_number_of_trips(all_years):
    np.testing.assert_allclose(all_years.trip_factor.mean(axis=0), 1.0)


def test_people_from_elsewhere_travel_home_before_the_spring_festival(cn):
    eve = row(cn, 2024, 2, 8)
    home, business = (calendar.trip_uplift(cn, name) for name in ("home_return", "business"))
    assert home[eve] > 5 * business[eve]
    assert "holiday_travel" in marks(cn, 2024, 2, 3)


@pytest.mark.parametrize("locale", LOCALES)
def test_hours_of_shopping_follow_the_site_traffic(locale):
    shopping = calendar.hours(locale)[0, SOURCES.index("ecommerce")].astype(float)
    hour = shopping.reshape(24, 2).mean(axis=1)
    assert 3 <= hour.argmin() <= 5
    assert 20 <= hour.argmax() <= 21
    assert hour[8] > 2 * hour[6]
    assert hour[12] > hour[11]
    assert hour[12] > hour[14]
    assert hour[14:17].max() < hour[9:13].max()
    assert hour[9:18].min() > 0.5 * hour.max()


def test_double_11_starts_at_midnight():
    normal, sale = calendar.hours("cn")[[0, 2], SOURCES.index("ecommerce")].astype(float)
    assert sale[:6].sum() / sale.sum() > 2 * normal[:6].sum() / normal.sum()
    assert 40 <= sale[6:].argmax() + 6 < 44


def test_meals_peak_before_noon_and_before_evening():
    meals = calendar.hours("cn")[0, SOURCES.index("delivery")]
    assert meals[18:28].argmax() + 18 == 23  # 11:30
    assert meals[30:40].argmax() + 30 == 34  # 17:00
    assert meals[42:44].min() > meals[40]  # supper at 21-22 after a lull


def test_mornings_come_later_on_days_off():
    work, off = calendar.hours("cn")[:2].astype(float)
    for source in range(len(SOURCES)):
        early = slice(12, 18)  # 6:00-9:00
        assert off[source, early].sum() / off[source].sum() < work[source, early].sum() / work[source].sum()


def test_days_outside_the_table_are_refused():
    with pytest.raises(InputError, match="'cn': expected days in 2015-2027, got 2028-01-01"):
        calendar_of("cn", datetime.date(2027, 12, 1), datetime.date(2028, 1, 1))


HEAD = ",".join(calendar_rules.COLUMNS)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("mid_sail,fixed,06-18,0,0", "row 1: feature 'mid_sail' is not one of major_sale"),
        ("mid_sale,lunar,06-18,0,0", "row 1: kind 'lunar' is not one of fixed"),
        ("mid_sale,fixed,02-29,0,0", "anchor '02-29' of kind fixed: expected a month and day like 11-11"),
        ("mid_sale,movable,spring,0,0", "anchor 'spring' of kind movable: expected a column of movable.csv"),
        ("mid_sale,nth_weekday,11 thu 6,0,0", "anchor '11 thu 6' of kind nth_weekday: expected month, weekday"),
        ("mid_sale,monthly,31,0,0", "anchor '31' of kind monthly: expected a day of the month"),
        ("mid_sale,fixed,06-18,3,1", "row 1: span 3 to 1: expected"),
        ("mid_sale,fixed,06-18,x,1", "row 1: first 'x': expected a whole number"),
        ("mid_sale,fixed,06-18,0,0,618,7", "row 1: profile '7': expected a whole number from 0 to 2"),
        ("mid_sale,fixed,06-18,0,0,618,0,-1", "row 1: discount '-1': expected a factor above 0"),
    ],
)
def test_a_bad_rule_stops_with_one_line(monkeypatch, cells, message):
    line = cells + "," * (HEAD.count(",") - cells.count(","))
    monkeypatch.setattr(locales, "read_text", lambda name, locale: f"{HEAD}\n{line}\n")
    monkeypatch.setattr(calendar_rules, "_movable", lambda locale: {"spring_festival": {}})
    with pytest.raises(InputError, match=message) as caught:
        calendar_rules.rules.__wrapped__("cn")
    assert "\n" not in str(caught.value)
    assert "calendar.csv of locale 'cn'" in str(caught.value)


def test_a_year_without_its_lunar_date_stops_with_one_line(monkeypatch):
    monkeypatch.setattr(locales, "read_text", lambda name, locale: "year,spring_festival\n2015,02-19\n")
    with pytest.raises(InputError, match=r"movable.csv of locale 'cn': spring_festival has no date in 2016"):
        calendar_rules._movable.__wrapped__("cn")


@pytest.mark.parametrize(
    ("start", "message"),
    [("", "expected a row workday,ecommerce, found none"), ("-3", "row 1: 0000 '-3': expected a whole number from 0")],
)
def test_a_bad_hour_stops_with_one_line(monkeypatch, start, message):
    lines = locales.read_text("hours.csv", "cn").splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("workday,ecommerce"))
    cells = lines[at].split(",")
    lines[at] = ",".join([*cells[:2], start, *cells[3:]]) if start else ""
    monkeypatch.setattr(locales, "read_text", lambda name, locale: "\n".join(lines))
    with pytest.raises(InputError, match=message):
        calendar.hours.__wrapped__("cn")

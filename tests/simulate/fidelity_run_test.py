import datetime
import json
import math
import pathlib
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from usergpt_jax import schema
from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate import calendar
from usergpt_jax.simulate.fidelity import behaviour, compare, days, decisions, log, measure, population, probe, run
from usergpt_jax.tags import HPR18

REAL = pathlib.Path(__file__).parents[3] / "shared" / "realdata" / "online_retail.parquet"
START = datetime.datetime(2024, 10, 2)
N_USERS = 60
SESSION = (  # source, action, category, item, place, price, quantity, tool
    ("ecommerce", "search", "Tea", None, None, None, None, "search_products"),
    ("ecommerce", "click", "Tea", "i1", None, 20.0, None, "view_product"),
    ("ecommerce", "click", "Tea", "i2", None, 30.0, None, "view_product"),
    ("ecommerce", "cart", "Tea", "i2", None, 30.0, None, "add_to_cart"),
    ("ecommerce", "purchase", "Tea", "i2", "Beijing", 30.0, 1.0, "pay_order"),
    ("poi", "visit", "Park", "i3", "Beijing Old Park", None, None, "check_in"),
    ("ecommerce", "purchase", "Tea", "i2", "Beijing", 30.0, -1.0, "request_refund"),
)
EVENT_COLUMNS = ("source", "action", "category", "item_id", "place", "price", "quantity")


def event_rows(n_users=N_USERS, n_days=60):
    """Each user has a session every second day, an hour later each time; users of odd number buy Beer, not Tea."""
    rng = np.random.default_rng(1)
    rows, hidden = [], []
    for user in range(n_users):
        index = 0
        for session, day in enumerate(range(0, n_days, 2)):
            at = START + datetime.timedelta(days=day, hours=8 + int(rng.integers(0, 14)))
            for step, (*columns, tool) in enumerate(SESSION):
                if step >= 5 and session % 5:
                    continue  # every fifth session has a visit and a return
                row = dict(zip(EVENT_COLUMNS, columns, strict=True))
                if user % 2 and row["category"] == "Tea":
                    row |= {"category": "Beer", "item_id": f"b{step}"}
                at += datetime.timedelta(seconds=60)
                rows.append({"user_id": f"u{user:03}", "time": at, "title": "t", **row})
                cause = "gift" if session % 10 == 0 else "need"
                hidden.append(
                    {"user_id": f"u{user:03}", "event_index": index, "session": session, "tool": tool, "cause": cause,
                     "need": None, "outcome": "ordered"}
                )  # fmt: skip
                index += 1
    return rows, hidden


def user_row(number):
    persona = {
        "gender": "female" if number % 2 else "male", "marital_status": "single" if number % 3 else "married",
        "education": "college", "occupation": "office", "resident_city": "Beijing", "resident_province": "Beijing",
        "housing_tenure": "rent" if number % 4 == 0 else "own", "pet": "cat" if number % 6 == 0 else "none",
        "settlement": "city", "age_days": 27.5 * 365.2425, "income_cny": 50_000 + number, "household_size": 2,
        "has_car": number % 2 == 0, "big_five": {"openness": 0.1},
    }  # fmt: skip
    events = [
        {"date": "2024-10-02", "event": "trip to Xi'an (leisure), 3 days"},
        {"date": "2024-10-20", "event": "married"},
    ]
    tags = dict.fromkeys(HPR18.names, schema.NA)
    tags |= {"gender": persona["gender"], "marital_status": persona["marital_status"], "interests": "tea, cats"}
    return {
        "user_id": f"u{number:03}",
        "as_of": datetime.datetime(2024, 12, 1),
        **tags,
        "observable": ["gender"],
        "persona": json.dumps(persona),
        "life_events": json.dumps(events),
    }


def write_run(folder, n_days=60, users=True, provenance=True):
    events = folder / "1_events"
    events.mkdir(parents=True)
    rows, hidden = event_rows(n_days=n_days)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema.EVENT_SCHEMA), events / "part-00000.parquet")
    if provenance:
        table = pa.Table.from_pylist(hidden)
        pq.write_table(table, events / "provenance-00000.parquet")
    if users:
        pq.write_table(pa.Table.from_pylist([user_row(i) for i in range(N_USERS)]), events / "users.parquet")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def events(folder):
    return log.read(folder / "1_events")


def test_a_log_is_read_as_numbers(events):
    assert events.n_users == N_USERS
    assert events.category.number.min() == 0
    assert events.item.number[0] == -1  # a search names no item
    assert events.where("ecommerce", "purchase").sum() == N_USERS * 30  # the returns are not purchases
    assert (events.quantity < 0).sum() == N_USERS * 6


def test_the_action_mix_counts_views_carts_and_orders(events):
    mix = behaviour.action_mix(events)
    # Two views, a cart and an order a session.
    assert mix["share of views"].value == pytest.approx(0.5)
    assert mix["share of buys"].value == pytest.approx(0.25)
    assert mix["orders to views"].value == pytest.approx(0.5)
    assert behaviour.returns(events)["returns to orders"].value == pytest.approx(0.2)


def test_causes_are_shares_of_sessions(events):
    found = behaviour.causes(events)
    assert found["sessions of cause gift"].value == pytest.approx(0.1)
    assert found["sessions of cause need"].value == pytest.approx(0.9)


def test_a_session_walks_from_idle_through_the_states_and_back(events):
    counts = decisions.state_transitions(events, "cn")
    assert counts is not None
    shares = dict(zip(decisions.STATES, counts.tolist(), strict=True))
    n = N_USERS * 30
    assert shares["idle"] == [0, 0, n, 0]  # every session starts with a search
    assert shares["searching"] == [0, n, 0, 0]
    assert shares["browsing"] == [0, 2 * n, 0, n]  # view, view, cart, then the order
    assert shares["ordering"][0] == n


def test_a_venue_is_a_title_at_a_place(events):
    assert behaviour.visits_per_venue(events).sum() == N_USERS * 6


def test_spells_of_a_category_end_with_a_pause():
    rows = [
        {"user_id": "u", "time": START + datetime.timedelta(days=day), "source": "ecommerce", "action": "click",
         "title": "t", "category": "Tea"}
        for day in (0, 3, 40, 41)
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows, schema=schema.EVENT_SCHEMA)
    held = behaviour.spells(from_table(table))
    assert sorted(held.returns_days) == [1, 3, 37]
    assert sorted(held.durations_days) == [2, 4]


def from_table(table):
    def codes(name):
        column = table[name].combine_chunks().dictionary_encode()
        number = column.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
        return log.Codes(number, tuple(column.dictionary.to_pylist()))

    def numbers(name, declared):
        return np.array([declared.index(value) for value in table[name].to_pylist()], np.int8)

    return log.Log(
        user=codes("user_id"),
        second=table["time"].cast(pa.int64()).to_numpy(),
        source=numbers("source", schema.SOURCES),
        action=numbers("action", schema.ACTIONS),
        category=codes("category"),
        item=codes("item_id"),
        place=codes("place"),
        price=np.full(len(table), np.nan, np.float32),
        quantity=np.full(len(table), np.nan, np.float32),
        hidden=None,
    )


def test_trips_are_compared_with_the_mean_of_the_half_year():
    first = calendar.epoch_day(datetime.date(2024, 7, 1))
    features = np.zeros((184, len(calendar.FEATURES)), bool)
    features[92:99, calendar.FEATURES.index("autumn_holiday")] = True
    half = days.Days(first, features, np.zeros(184, bool))
    # One trip a day, and three more on each of the seven holidays: 4 / ((184 + 21) / 184).
    starts = np.concatenate([first + np.arange(184), np.repeat(first + np.arange(92, 99), 3)])
    assert days.trip_uplift(starts, half)["trips at the autumn holiday"].value == pytest.approx(4 * 184 / 205)


def test_the_major_sale_is_compared_with_normal_days(events):
    held = days.days_of(events, "cn")
    assert [str(calendar.date_of(held.first + row)) for row in np.flatnonzero(held.sale_hours)] == ["2024-11-11"]
    found = days.sale_days(events, held)
    assert 0 <= found["orders on the major sale"].value < 3


def test_the_traffic_curve_has_the_described_shape():
    curve = days.traffic_curve()
    assert curve.sum() == pytest.approx(1)
    assert (curve.argmin(), curve.argmax()) == (4, 20)
    assert curve[12:20].argmin() + 12 in (14, 15, 16)


def test_people_are_weighted_back_to_the_population(folder):
    people = population.read(folder / "1_events" / "users.parquet", "cn")
    found = population.measures(people)
    assert found["never married at 27"].value == pytest.approx(2 / 3)  # all are 27, a third is married
    assert found["never married at 25-29, city"].value == pytest.approx(2 / 3)
    assert found["rented, city"].value == pytest.approx(0.25)
    assert found["household of 2"].value == 1
    assert found["mean income"].value == pytest.approx(50_029.5)
    # The wedding was 42 days before the day that ages are told for.
    assert found["mean age at marriage, men"].value == pytest.approx(27.5 - 42 / 365.2425)
    assert people.weight.mean() == pytest.approx(1)
    starts, kinds = population.trips(people)
    assert (len(starts), set(kinds)) == (N_USERS, {"leisure"})


def test_platform_weights_are_taken_out():
    table = population.pl.DataFrame(
        {"years": [22.0, 62.0], "settlement": ["city", "city"], "tier": ["T3", "T3"], "education": ["college"] * 2},
    )
    young, old = population.inverse_platform_weight(table, "cn")
    assert young < old  # a young user stands for fewer people


def test_the_probe_solves_a_tag_that_one_category_gives_away_and_not_noise(events, folder):
    found = {one.tag: one for one in probe.probe(events, folder / "1_events" / "users.parquet", "cn")}
    assert found["gender"].verdict == "SOLVED"  # women drink beer here, men tea
    assert found["gender"].accuracy == 1.0
    assert found["marital_status"].verdict == "CHANCE"
    assert found["pet"].verdict == "-"  # NA everywhere
    assert math.isnan(found["pet"].accuracy)


@pytest.mark.parametrize(("accuracy", "expected"), [(0.99, "SOLVED"), (0.75, "ok"), (0.59, "CHANCE"), (0.3, "CHANCE")])
def test_a_probe_is_at_chance_within_two_standard_errors(accuracy, expected):
    # Majority 0.5 of 100 users: a standard error of 0.05.
    assert probe.verdict_of(accuracy, 0.5, 100) == expected


def test_every_measure_is_among_the_names_that_targets_may_have(events, folder):
    report = measure.measure(events, folder / "1_events" / "users.parquet", "cn", None)
    assert report.beside.keys() == set(population.names())
    assert behaviour.measures(events).keys() == set(behaviour.NAMES)
    assert decisions.measures(events, "cn").keys() == set(decisions.NAMES)
    assert report.people is not None
    found = days.measures(events, report.days) | days.trip_uplift(population.trips(report.people)[0], report.days)
    assert found.keys() < set(days.NAMES)  # no meal is delivered here, and no festival but one is in the log
    assert {finding.target.name for finding in report.findings if not math.isnan(finding.measure.value)}


def test_two_samples_of_one_log_are_alike_and_two_logs_are_not(events):
    half = events.user.number % 4 < 2
    same = {one.name: one.value for one in compare.compare(log.subset(events, half), log.subset(events, ~half))}
    assert same["JSD of popularity ranks (bits)"] < 0.05
    assert 0.35 < same["AUC on events, logistic"] < 0.65
    later = events._replace(second=events.second + 6 * 3600)
    shifted = {one.name: one for one in compare.compare(events, later)}
    hours = shifted["JSD of hours (bits)"]
    assert hours.value > 5 * hours.floor
    assert shifted["JSD of popularity ranks (bits)"].value < 0.01


def test_only_what_both_logs_hold_is_compared(events):
    orders = log.subset(events, events.where("ecommerce", "purchase"))
    simulated, real = compare.aligned(events, orders)
    assert len(simulated.second) == len(real.second) == N_USERS * 30
    poi = log.subset(events, events.where("poi"))
    with pytest.raises(InputError, match="the simulated log: 0 users have events of source poi and action visit"):
        compare.aligned(orders, poi)


def test_the_report_is_printed_and_written(folder, tmp_path, capsys):
    run.run(str(folder), real=str(write_run(tmp_path / "real", users=False, provenance=False)))
    printed = capsys.readouterr().out
    assert re.search(r"share of views +0.89 +0.026 +0.5 MISS", printed)
    assert "against the real log" in printed
    records = json.loads((folder / "fidelity.json").read_text())
    assert {"statistic", "probe", "real", "next_category"} == {record["kind"] for record in records}
    page = (folder / "fidelity.html").read_text()
    assert "<svg" in page
    assert not re.search(r'(src|href)="http', page)  # asks for nothing else


def test_names_from_a_log_cannot_write_markup(folder, tmp_path):
    out = tmp_path / "page.html"
    real = write_run(tmp_path / "<script>", users=False)
    run.run(str(folder), real=str(real), out=str(out))
    assert "<script>" not in out.read_text()


def break_column(folder):
    path = folder / "1_events" / "part-00000.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["action"]), path)


def break_order(folder):
    path = folder / "1_events" / "part-00000.parquet"
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table.slice(200), table.slice(0, 200)]), path)


def break_provenance(folder):
    path = folder / "1_events" / "provenance-00000.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)


def break_file(folder):
    (folder / "1_events" / "part-00000.parquet").write_text("not a table")


def empty_log(folder):
    path = folder / "1_events" / "part-00000.parquet"
    pq.write_table(pq.read_table(path).slice(0, 0), path)


def break_action(folder):
    path = folder / "1_events" / "part-00000.parquet"
    table = pq.read_table(path)
    column = pa.array(["dance"] * len(table))
    pq.write_table(table.set_column(table.column_names.index("action"), "action", column), path)


def break_persona(folder):
    path = folder / "1_events" / "users.parquet"
    table = pq.read_table(path)
    column = pa.array(["{"] * len(table))
    pq.write_table(table.set_column(table.column_names.index("persona"), "persona", column), path)


def lose_user(folder):
    path = folder / "1_events" / "users.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (break_column, "column 'action' is missing"),
        (break_order, "again; expected rows sorted by user"),
        (break_provenance, "rows of provenance for"),
        (break_file, "part-00000.parquet cannot be read as Parquet"),
        (empty_log, "no events at all"),
        (break_action, "'dance' is not one of"),
        (break_persona, "is not JSON"),
        (lose_user, "user 'u000' of the log has no row"),
    ],
)
def test_bad_input_stops_with_one_line(tmp_path, damage, expected):
    folder = write_run(tmp_path / "run", n_days=20)
    damage(folder)
    with pytest.raises(InputError, match=re.escape(expected)) as caught:
        run.run(str(folder))
    assert "\n" not in str(caught.value)
    assert not (folder / "fidelity.html").exists()


def test_a_missing_folder_and_a_raw_file_are_named(tmp_path, folder):
    with pytest.raises(InputError, match="is not a folder"):
        run.run(str(tmp_path / "absent"))
    raw = tmp_path / "log.parquet"
    raw.write_text("")
    with pytest.raises(InputError, match="is a file; import it first"):
        run.run(str(folder), real=str(raw))


@pytest.mark.skipif(not REAL.is_file(), reason="the real log is not on this machine")
def test_a_real_log_differs_less_from_itself_than_from_a_simulated_one(events, tmp_path):
    from usergpt_jax.semantize.ingest import run as ingest_run

    root = pathlib.Path(__file__).parents[2]
    ingest_run.run(str(REAL), str(root / "configs" / "maps" / "online_retail.py"), str(tmp_path), "refuse")
    real = log.read(tmp_path / "1_events")
    for one in compare.compare(events, real):
        assert one.value > one.floor, one.name

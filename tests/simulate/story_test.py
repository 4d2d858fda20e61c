import datetime
import json

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from usergpt_jax import schema
from usergpt_jax.core.errors import InputError
from usergpt_jax.core.run_dir import open_stage
from usergpt_jax.simulate import story
from usergpt_jax.tags import HPR18

PERSONA = {
    "gender": "female", "age_band": "30-34", "life_stage": "parent_preschool", "marital_status": "married",
    "child_stage": "0-1", "housing_tenure": "own", "consumption_level": "mid", "interests": "reading, camping",
    "pet": "cat", "education": "bachelor", "occupation": "teacher", "resident_province": "Zhejiang",
    "resident_city": "Hangzhou", "city_tier": "new_T1", "hometown_province": "Sichuan", "activity_zone": "campus",
    "mobility_status": "settled_migrant", "travel_pattern": "home_return", "age_days": 11_500,
    "birth_date": "1993-07-08", "hometown_city": "Chengdu", "children_born": ["2024-05-02"], "has_car": True,
    "avoided_sources": ["travel"], "income_cny": 123_000, "household_size": 3, "household": "couple with children",
    "settlement": "city", "big_five": {"openness": 0.8, "conscientiousness": -1.25},
    "preferences": {"drawn_to": [f"wish {i}" for i in range(10)], "averse_to": ["play"]},
}  # fmt: skip
# day, action, title, place, quantity, session, cause, need
LOG = [
    ("2024-05-03 10:00:00", "search", "diapers", None, None, 0, "need", "change diapers"),
    ("2024-05-03 10:01:00", "click", "Nordkind Diapers Size M", None, None, 0, "need", "change diapers"),
    ("2024-05-03 10:03:00", "purchase", "Nordkind Diapers Size M", "Hangzhou", 2.0, 0, "need", "change diapers"),
    ("2024-05-04 11:00:00", "purchase", "Razor", "Chengdu", 1.0, 1, "gift", "mens grooming"),
    ("2024-05-09 09:00:00", "purchase", "Nordkind Diapers Size M", None, -2.0, 2, "return", "change diapers"),
    ("2024-05-11 12:00:00", "visit", "Park", "Hangzhou CBD", None, 3, "routine", "neighbourhood life"),
    ("2024-07-02 12:00:00", "visit", "Museum", "Chengdu", None, 4, "need", "see art"),
    ("2024-07-02 13:00:00", "click", "Sofa", None, None, 5, "misclick", None),
]
EVENTS = [{"date": "2024-05-02", "event": "first child born"}, {"date": "2024-07-01", "event": "trip to Chengdu"}]


def write_run(folder, users=("u0000000", "u0000001")):
    stage = open_stage(folder, "1_events", config={"simulate": {"start": "2024-05-01", "locale": "cn"}, "seed": 1})
    assert stage is not None
    as_of = datetime.datetime(2024, 8, 1)
    seen = {tag: PERSONA[tag] for tag in HPR18.names} | {"pet": schema.NA, "interests": "reading"}
    told = [tag for tag in HPR18.names if seen[tag] != schema.NA]
    about = {"as_of": as_of, **seen, "observable": told, "persona": json.dumps(PERSONA)}
    lives = {users[0]: EVENTS, **dict.fromkeys(users[1:], EVENTS[:1])}
    rows = [{"user_id": user, **about, "life_events": json.dumps(lives[user])} for user in users]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema.truth_schema(HPR18.names)), stage.path / "users.parquet")
    events, reasons = [], []
    for user in users:
        for index, (time, action, title, place, quantity, session, cause, need) in enumerate(LOG):
            what = {"title": title, "category": title, "item_id": title, "place": place, "quantity": quantity}
            when = datetime.datetime.fromisoformat(time)
            events.append({"user_id": user, "time": when, "source": "ecommerce", "action": action, **what})
            why = {"session": session, "tool": "pay_order", "cause": cause, "need": need, "outcome": "ordered"}
            reasons.append({"user_id": user, "event_index": index, **why})
    for name, rows, columns in (
        ("part", events, schema.EVENT_SCHEMA),
        ("provenance", reasons, schema.PROVENANCE_SCHEMA),
    ):
        pq.write_table(pa.Table.from_pylist(rows, schema=columns), stage.path / f"{name}-00000.parquet")
    stage.finish({})
    return folder


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


def month(text, name):
    (line,) = [line for line in text.splitlines() if line.startswith(f"**{name}**")]
    return line


def test_the_head_says_who_and_counts_the_log(run):
    text = story.tell(run, "u0000000")
    assert text.startswith("# u0000000: a woman of 31 in Hangzhou\n")
    assert "8 events in 6 sessions, 2 orders, 2 visits, 1 return." in text
    assert "Big Five (deviations from the mean): openness +0.8, conscientiousness -1.2." in text
    assert "Drawn to wish 0, wish 1, wish 2, wish 3, wish 4, wish 5, wish 6, wish 7 and 2 more." in text
    assert "Never uses: travel." in text


def test_the_truth_table_tells_observable_from_na(run):
    text = story.tell(run, "u0000000")
    assert "| gender | female | observable |" in text
    assert "| pet | cat | NA: too little in the log |" in text
    assert "| interests | reading, camping | observable: reading |" in text


def test_every_month_has_its_line_in_order(run):
    text = story.tell(run, "u0000000")
    names = ["2024-05", "2024-06", "2024-07"]
    assert [line[2:9] for line in text.splitlines() if line.startswith("**")] == names
    assert month(text, "2024-06").startswith("**2024-06** (nothing in the log).")


def test_a_month_tells_life_needs_traps_and_places(run):
    text = story.tell(run, "u0000000")
    may = month(text, "2024-05")
    assert "Life: 02 first child born." in may
    assert "change diapers (1 order: Nordkind Diapers Size M)" in may
    assert "neighbourhood life (1 visit)" in may
    assert "Traps: gift (1: Razor); sent back (1)." in may
    assert "Places: Hangzhou (1)." in may
    july = month(text, "2024-07")
    assert "Life: 01 trip to Chengdu." in july
    assert "Places: Chengdu (1)." in july
    assert "stray clicks (1: Sofa)" in july


def test_items_are_called_by_the_catalogue_where_it_is_there(run):
    item = {"item_id": "Razor", "brand": "Acme", "core_entity": "electric razor", "attributes": ["Acme", "Travel"]}
    bare = {"item_id": "Sofa", "brand": None, "core_entity": "", "attributes": []}
    pl.DataFrame([item, bare]).write_parquet(run / "1_events" / "items.parquet")
    text = story.tell(run, "u0000000")
    assert "gift (1: Acme electric razor Travel)" in text
    assert "stray clicks (1: Sofa)" in text


def test_the_same_files_tell_the_same_story(run):
    assert story.tell(run, "u0000001") == story.tell(run, "u0000001")


def test_the_user_with_the_most_life_events_is_picked(run, tmp_path):
    assert story.pick(run) == "u0000000"
    assert story.pick(write_run(tmp_path / "other", ("u0000007", "u0000003"))) == "u0000007"


def test_an_unknown_user_or_folder_is_one_clear_line(run, tmp_path):
    with pytest.raises(InputError, match="no user 'u9'; it has u0000000 to u0000001") as caught:
        story.tell(run, "u9")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no such run directory"):
        story.tell(tmp_path / "nowhere", "u0000000")
    with pytest.raises(InputError, match=r"manifest\.json is missing"):
        story.pick(tmp_path)


def test_a_real_log_has_no_story(run):
    (run / "1_events" / "provenance-00000.parquet").unlink()
    with pytest.raises(InputError, match="only simulated users have a story"):
        story.tell(run, "u0000000")

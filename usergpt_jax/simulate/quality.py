"""Consistency of what was simulated: every rule checked on every output, breaches put right or taken out, and counted.

Structural rules stand here, rules on persona and leaf in `data/quality_rules.csv`. A session is the unit: its time is
shifted, its place filled in, or it is dropped whole. Rules judge the causes that they name: a gift, somebody else at
the account or a stage of life that is over excuse what the user's own needs do not. `docs/simulator.md` lists them.

Paper: §2.1 (rule-based consistency over persona, event and platform, and regeneration of what breaks it). Differs from
the paper: what cannot be put right is dropped, not drawn again, so that every user's log depends on the user alone.
"""

import dataclasses
from typing import Any

import numpy as np

from usergpt_jax import schema
from usergpt_jax.simulate import catalog, emit, observe, places, priors, quality_rules
from usergpt_jax.simulate.emit import Events
from usergpt_jax.simulate.world import World

_DAY, _HALF_HOUR = 86_400, 1800
_NEVER_TOGETHER_SECONDS = 2 * 3600  # between visits to two cities
_MAX_SHIFT_SECONDS = 4 * 3600  # a session that would have to wait longer for the one before is dropped
_TRIP_SLACK_DAYS = 1
_PURCHASE, _VISIT = (schema.ACTIONS.index(name) for name in ("purchase", "visit"))
_DELIVERY = schema.SOURCES.index("delivery")
_SHARED, _RETURN = (schema.CAUSES.index(name) for name in ("shared_account", "return"))
_ELSEWHERE = np.isin(schema.CAUSES, ("gift", "proxy", "shared_account", "return"))  # may be delivered anywhere


@dataclasses.dataclass
class Counts:
    """What the rules found; add the counts of batches with `+`.

    Attributes:
      rules: for each rule how many events or sessions were checked, repaired and rejected.
      sessions: sessions seen.
      sessions_rejected: sessions dropped.
      events: events seen.
      events_rejected: events dropped.
    """

    rules: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    sessions: int = 0
    sessions_rejected: int = 0
    events: int = 0
    events_rejected: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        names = dict.fromkeys((*self.rules, *other.rules))
        empty = {"checked": 0, "repaired": 0, "rejected": 0}
        rules = {}
        for name in names:
            one, two = self.rules.get(name, empty), other.rules.get(name, empty)
            rules[name] = {key: one[key] + two[key] for key in empty}
        totals = ("sessions", "sessions_rejected", "events", "events_rejected")
        return Counts(rules, **{name: getattr(self, name) + getattr(other, name) for name in totals})

    def to_json(self) -> dict[str, Any]:
        """As plain numbers, for `quality.json` and the manifest."""
        return dataclasses.asdict(self)

    def note(self, rule: str, *, checked: int, repaired: int = 0, rejected: int = 0) -> None:
        """Adds to the counts of a rule."""
        row = self.rules.setdefault(rule, {"checked": 0, "repaired": 0, "rejected": 0})
        for key, number in (("checked", checked), ("repaired", repaired), ("rejected", rejected)):
            row[key] += int(number)


def assure(events: Events, world: World, locale: str) -> tuple[Events, Counts]:
    """Puts right or drops what breaks a rule.

    Args:
      events: of a batch; sessions are told apart by user and session number.
      world: what they are judged against.
      locale: market of catalogue, places and rules.

    Returns:
      The events that stand, sorted by user and time, and the counts of every rule.
    """
    check = _Check(events, world, locale)
    check.signs()
    check.places()
    check.avoided_platforms()
    check.states()
    check.away_from_home()
    check.opening_hours(repair=True)
    check.overlaps()
    check.opening_hours(repair=False)
    check.days()
    check.two_cities()
    check.orphan_returns()
    return check.kept(), check.counts


class _Check:
    """The state of one call of `assure`: sessions, which of them are dropped, and what was changed."""

    def __init__(self, events: Events, world: World, locale: str) -> None:
        self._world, self._locale, self._shelf = world, locale, catalog.load(locale)
        self._events, self.counts = events, Counts(events=len(events.user))
        self._changed: dict[str, np.ndarray] = {}
        self._group()
        self._rejected = np.zeros(len(self._first), bool)
        self._shift = np.zeros(len(self._first), np.int64)
        self.counts.sessions = len(self._first)
        lasting = (events.action == _PURCHASE) | (events.action == _VISIT)
        rows = np.flatnonzero(lasting)
        returns = events.cause[rows] == _RETURN
        self._rows, self._returns = rows[~returns], rows[returns]

    def _group(self) -> None:
        """Sessions from user and session number; a return, which comes days later, stands by itself."""
        events = self._events
        n_numbers = int(events.session.max()) + 1 if len(events.session) else 1
        key = (events.user.astype(np.int64) * n_numbers + events.session) * 2 + (events.cause == _RETURN)
        in_order = bool(np.all(key[1:] >= key[:-1]))
        order = np.arange(len(key)) if in_order else np.argsort(key, kind="stable")
        key = key if in_order else key[order]
        new = np.ones(len(key), bool)
        new[1:] = key[1:] != key[:-1]
        self._first = order[new]
        self._last = order[np.append(np.flatnonzero(new)[1:], len(key)) - 1] if len(key) else order
        number = np.cumsum(new) - 1
        self._session = number
        if not in_order:
            self._session = np.empty_like(number)
            self._session[order] = number

    def _column(self, name: str) -> np.ndarray:
        return self._changed[name] if name in self._changed else getattr(self._events, name)

    def _edit(self, name: str, rows: np.ndarray, values: np.ndarray) -> None:
        if len(rows):
            self._changed.setdefault(name, np.array(getattr(self._events, name)))[rows] = values

    def _standing(self, rows: np.ndarray) -> np.ndarray:
        """Those of the rows whose session was not dropped."""
        return rows[~self._rejected[self._session[rows]]]

    def _reject(self, rule: str, rows: np.ndarray, checked: int, repaired: int = 0) -> None:
        """Drops the sessions of the rows; counts sessions that stood until now."""
        sessions = np.unique(self._session[rows])
        fresh = sessions[~self._rejected[sessions]]
        self._rejected[fresh] = True
        self.counts.note(rule, checked=checked, repaired=repaired, rejected=len(fresh))

    def _second(self, rows: np.ndarray) -> np.ndarray:
        return self._events.second[rows] + self._shift[self._session[rows]]

    def signs(self) -> None:
        """Prices and quantities are above zero, the quantity of a return below."""
        rows, quantity = self._rows, self._events.quantity
        bought = rows[self._events.action[rows] == _PURCHASE]
        wrong = bought[~(quantity[bought] > 0)]
        self._edit("quantity", wrong, np.maximum(np.abs(np.nan_to_num(quantity[wrong])), 1))
        self.counts.note("quantity above zero", checked=len(bought), repaired=len(wrong))
        back = self._returns[~(quantity[self._returns] < 0)]
        self._edit("quantity", back, -np.maximum(np.abs(np.nan_to_num(quantity[back])), 1))
        self.counts.note("returns take back", checked=len(self._returns), repaired=len(back))
        sold = bought[~np.isnan(self._shelf.price[self._events.leaf[bought]])]
        self._reject("price above zero", sold[~(self._events.price[sold] > 0)], len(sold))

    def places(self) -> None:
        """Visits and meals have a place; a missing one is that of the user's last or next such event."""
        rows = self._located()
        place, user = self._events.place[rows], self._events.user[rows]
        absent = place < 0
        position = np.arange(len(rows))
        before = np.maximum.accumulate(np.where(absent, -1, position))
        after = np.minimum.accumulate(np.where(absent, len(rows), position)[::-1])[::-1]
        filled = place.copy()
        for source in (after, before):  # the last one wins
            usable = absent & (source >= 0) & (source < len(rows))
            taken = np.where(usable, source, 0)
            usable &= user[taken] == user
            filled = np.where(usable, place[taken], filled)
        mended = absent & (filled >= 0)
        self._edit("place", rows[mended], filled[mended])
        self._reject("place is known", rows[absent & ~mended], len(rows), int(mended.sum()))

    def _located(self) -> np.ndarray:
        """Rows of visits and meals, which happen where the user is."""
        rows = self._rows
        visit = self._events.action[rows] == _VISIT
        return rows[visit | (self._shelf.sources[self._events.leaf[rows]] == _DELIVERY)]

    def avoided_platforms(self) -> None:
        """Nobody uses a platform that they avoid."""
        rows = self._first
        source = self._shelf.sources[self._events.leaf[rows]]
        self._reject("avoided platforms", rows[self._world.avoided[self._events.user[rows], source] > 0], len(rows))

    def states(self) -> None:
        """The rules of `quality_rules.csv`; a state may hold on the day or on the first day of its simulated week."""
        rules = quality_rules.load(self._locale)
        rows = self._standing(self._rows)
        rows = rows[np.any([rule.leaves for rule in rules], axis=0)[self._events.leaf[rows]]]
        leaf, action, cause = (getattr(self._events, name)[rows] for name in ("leaf", "action", "cause"))
        judged = [np.flatnonzero(rule.leaves[leaf] & rule.actions[action] & rule.causes[cause]) for rule in rules]
        concerned = np.unique(np.concatenate([*judged, np.zeros(0, np.int64)]).astype(np.int64))
        user, day = self._events.user[rows[concerned]], self._events.second[rows[concerned]] // _DAY
        week_start = day - (day - self._world.start_day) % 7
        held = self._world.features_at(user, day) > 0
        held |= self._world.features_at(user, week_start) > 0
        age_years = (day - self._world.birth_day[user]) / priors.DAYS_PER_YEAR
        for rule, chosen in zip(rules, judged, strict=True):
            at = np.searchsorted(concerned, chosen)
            fits = np.ones(len(chosen), bool)
            for clause in rule.clauses:
                fits &= held[at][:, clause].any(axis=1)
            if rule.asks_age:
                fits &= age_years[at] >= rule.min_age_years
            self._reject(rule.name, rows[chosen[~fits]], len(chosen))

    def away_from_home(self) -> None:
        """Visits and meals are in the city of residence, or at the destination of a trip of these days."""
        rows = self._standing(self._located())
        rows = rows[~_ELSEWHERE[self._events.cause[rows]]]
        user, day = self._events.user[rows].astype(np.int64), self._events.second[rows] // _DAY
        city = self._column("place")[rows] // places.load(self._locale).n_parts
        week_start = day - (day - self._world.start_day) % 7
        at_home = (city == self._residence(user, day)) | (city == self._residence(user, week_start))
        away = np.flatnonzero(~at_home)
        on_trip = self._on_trip(user[away], day[away], city[away])
        self._reject("away from home on trips only", rows[away[~on_trip]], len(rows))

    def _residence(self, user: np.ndarray, day: np.ndarray) -> np.ndarray:
        moves = (day[:, None] >= self._world.move_days[user]).sum(axis=1)
        return self._world.cities[user, moves]

    def _on_trip(self, user: np.ndarray, day: np.ndarray, city: np.ndarray) -> np.ndarray:
        """Whether the user is on a trip to the city, give or take a day; looks at the two latest trips."""
        trips = self._world.trips
        owner, start, end, destination = trips.user, trips.start_day, trips.end_day, trips.destination
        order = np.lexsort((start, owner))
        key = owner[order].astype(np.int64) << 32 | start[order].astype(np.int64)
        latest = np.searchsorted(key, user << 32 | (day + _TRIP_SLACK_DAYS), side="right") - 1
        found = np.zeros(len(user), bool)
        for back in (0, 1) if len(order) else ():
            trip = order[np.maximum(latest - back, 0)]
            covers = (latest >= back) & (owner[trip] == user) & (day <= end[trip] + _TRIP_SLACK_DAYS)
            found |= covers & (destination[trip] == city)
        return found

    def opening_hours(self, repair: bool) -> None:
        """Visits and orders fall into opening hours; `repair` moves the session to the nearest open half hour."""
        rows = self._standing(self._rows)
        opens, closes = (hours[self._events.leaf[rows]] for hours in (self._shelf.opens, self._shelf.closes))
        limited = closes - opens < 48
        rows, opens = rows[limited], opens[limited]
        span = (closes[limited] - opens) % 48
        offset = (self._second(rows) % _DAY // _HALF_HOUR - opens) % 48
        closed = offset >= span
        wrong = rows[closed]
        if not repair:
            return self._reject("opening hours", wrong, 0)
        forward, backward = (48 - offset)[closed], (offset - span + 1)[closed]
        move = np.where(forward <= backward, forward, -backward) * _HALF_HOUR
        sessions, at = np.unique(self._session[wrong], return_index=True)
        self._shift[sessions] += move[at]
        self.counts.note("opening hours", checked=len(rows), repaired=len(sessions))

    def overlaps(self) -> None:
        """One session at a time: a session waits for the one before; somebody else's sessions run in parallel."""
        first, last = self._first, self._last
        cause = self._events.cause[first]
        sessions = np.flatnonzero(~self._rejected & (cause != _SHARED) & (cause != _RETURN))
        user = self._events.user[first[sessions]].astype(np.int64)
        start = self._second(first[sessions])
        order = np.lexsort((start, user))
        sessions, user, start = sessions[order], user[order], start[order]
        length = self._second(last[sessions]) - start
        # end[i] = max(start[i] + length[i], end[i-1] + 1 + length[i]): with the lengths summed, a running maximum.
        summed = np.cumsum(length + 1)
        apart = user << 40  # no user reaches into the next one
        end = np.maximum.accumulate(start + length - summed + apart) + summed - apart
        wait = end - (start + length)
        late = wait > _MAX_SHIFT_SECONDS
        self._shift[sessions] += np.where(late, 0, wait)
        waiting = int(((wait > 0) & ~late).sum())
        self._reject("one session at a time", first[sessions[late]], len(sessions), waiting)

    def days(self) -> None:
        """Everything happens on the days of the log."""
        first, last = self._world.start_day * _DAY, self._world.as_of_day * _DAY
        alive = np.flatnonzero(~self._rejected)
        outside = (self._second(self._first[alive]) < first) | (self._second(self._last[alive]) >= last)
        self._reject("days of the log", self._first[alive[outside]], len(alive))

    def two_cities(self) -> None:
        """Nobody visits two cities within two hours: the later session goes."""
        visits = self._rows[self._events.action[self._rows] == _VISIT]
        visits = visits[self._events.cause[visits] != _SHARED]
        checked = len(visits)
        while True:
            visits = self._standing(visits)
            user, second = self._events.user[visits], self._second(visits)
            order = np.lexsort((second, user))
            rows, user, second = visits[order], user[order], second[order]
            city = self._column("place")[rows] // places.load(self._locale).n_parts
            close = (user[1:] == user[:-1]) & (second[1:] - second[:-1] < _NEVER_TOGETHER_SECONDS)
            wrong = np.flatnonzero(close & (city[1:] != city[:-1]))
            self._reject("two cities within two hours", rows[wrong + 1], checked)
            checked = 0
            if not len(wrong):
                return

    def orphan_returns(self) -> None:
        """What is returned was bought before."""
        rows = np.concatenate([self._standing(self._rows), self._standing(self._returns)])
        bought = rows[self._events.action[rows] == _PURCHASE]
        _, matched = observe.match_returns(self._events, bought)
        returns = self._standing(self._returns)
        self._reject("returns of what was bought", np.setdiff1d(returns, matched), len(returns))

    def kept(self) -> Events:
        """The events that stand, sorted by user and time, sessions numbered anew."""
        self._note_order()
        self.counts.sessions_rejected = int(self._rejected.sum())
        moved = self._shift.any()
        if moved:
            self._changed["second"] = self._events.second + self._shift[self._session]
        events = dataclasses.replace(self._events, **self._changed)
        if not (moved or self._rejected.any() or self._backwards):
            return events
        if self._rejected.any():
            events = events.take(np.flatnonzero(~self._rejected[self._session]))
        self.counts.events_rejected = self.counts.events - len(events.user)
        return emit.in_order(events)

    def _note_order(self) -> None:
        """Counts events that came before one of an earlier time; they are put in order at the end."""
        user, second = self._events.user, self._events.second
        steps = (user[1:] < user[:-1]) | (user[1:] == user[:-1]) & (second[1:] < second[:-1])
        self._backwards = int(steps.sum())
        self.counts.note("in order of time", checked=len(user), repaired=self._backwards)

import numpy as np
import pytest

from usergpt_jax import locales, schema
from usergpt_jax.core.errors import InputError
from usergpt_jax.simulate import tools

TOOLS, TRANSITIONS = locales.read_rows("tools.csv", "cn"), locales.read_rows("transitions.csv", "cn")


def is_walk(graph, calls, in_hand=(tools.START,)):
    """Whether every call of a walk, by tool number, finds in hand what it requires."""
    held = set(in_hand)
    for call in calls:
        if not graph.requires[call] <= held:
            return False
        held |= graph.provides[call]
    return True


def test_every_edge_in_use_finds_its_types_in_hand_whatever_the_draws():
    graph = tools.load("cn")
    rng = np.random.default_rng(0)
    for source in range(len(schema.SOURCES)):
        for reach in range(len(tools.REACHES)):
            mode = tools.mode_of(source, reach)
            for _ in range(40):
                walk = [int(graph.opening[source])]
                while walk[-1] and len(walk) < 200:
                    walk.append(int(graph.next_call[0, mode, walk[-1], rng.integers(tools.RESOLUTION)]))
                assert walk[-1] == 0
                assert is_walk(graph, walk)
                bought = any(graph.emits[call] in (4, 5) for call in walk)  # purchase, visit
                assert bought == (reach == 2)


def test_chances_of_a_step_are_the_weights():
    graph = tools.load("cn")
    mode = tools.mode_of(schema.SOURCES.index("ecommerce"), tools.REACHES.index("browsing"))
    draws = graph.next_call[0, mode, graph.number("view_product")]
    share = np.bincount(draws, minlength=len(graph.names)) / tools.RESOLUTION
    assert share[graph.number("close")] == pytest.approx(0.11, abs=0.002)
    assert share[graph.number("favorite_product")] == pytest.approx(0.03, abs=0.002)


def test_the_last_calls_lead_straight_to_the_order():
    graph = tools.load("cn")
    for source, name in enumerate(schema.SOURCES):
        call, mode = int(graph.opening[source]), tools.mode_of(source, 2)
        walk = [call]
        while call:
            call = int(graph.next_call[1, mode, call, 0])
            walk.append(call)
        assert len(walk) <= tools.FINISH_CALLS + 2, name
        assert is_walk(graph, walk)
        assert graph.emits[walk].max() >= 4


def test_a_call_without_what_it_needs_is_no_walk():
    graph = tools.load("cn")
    assert not is_walk(graph, [graph.number("open_shop"), graph.number("pay_order")])
    assert not is_walk(graph, [graph.number("request_refund")])
    assert is_walk(graph, [graph.number("request_refund")], ("account", "paid_order"))


LAST = f"transitions.csv row {len(TRANSITIONS) + 1}, "  # of an edge after the others


def edge(**changes: str) -> dict[str, str]:
    return {"source": "ecommerce", "reach": "browsing", "from": "view_product", "to": "close", "weight": "1"} | changes


@pytest.mark.parametrize(
    ("tool_rows", "transition_rows", "words"),
    [
        (TOOLS, [*TRANSITIONS, edge(to="pay_order")], LAST + "ecommerce.browsing: view_product -> pay_order: needs"),
        (TOOLS, [*TRANSITIONS, edge(to="pay_order")], "needs unpaid_order"),
        (TOOLS, [*TRANSITIONS, edge(to="teleport")], LAST + "ecommerce.browsing: view_product -> teleport: unknown to"),
        (TOOLS, [*TRANSITIONS, edge(source="shop")], "unknown source 'shop'"),
        (TOOLS, [*TRANSITIONS, edge(weight="-1")], LAST + r".*weight '-1': expected a number above 0"),
        (TOOLS, [*TRANSITIONS, edge(weight="many")], LAST + r".*weight 'many': expected a number above 0"),
        (
            TOOLS,
            [row for row in TRANSITIONS if row["to"] != "close"],
            r"transitions.csv row 1, ecommerce.browsing: no way from",
        ),
        (TOOLS[1:], TRANSITIONS, "start with 'close'"),
        ([TOOLS[0], *TOOLS[2:]], [], "'ecommerce' needs exactly one idle tool"),
        ([*TOOLS, TOOLS[-1] | {"tool": "x", "emits": "sell"}], TRANSITIONS, "x: unknown emits 'sell'"),
    ],
)
def test_a_broken_graph_is_one_clear_line(tool_rows, transition_rows, words):
    with pytest.raises(InputError, match=words) as caught:
        tools.parse(tool_rows, transition_rows)
    assert "\n" not in str(caught.value)

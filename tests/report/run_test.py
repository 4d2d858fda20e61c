import html.parser
import pathlib
import re

import pytest
from ml_collections import ConfigDict

from usergpt_jax.core.errors import InputError
from usergpt_jax.report.run import run

SECTIONS = ("pipeline", "data", "training", "bench", "users")


def report(folder: pathlib.Path) -> str:
    run(ConfigDict({"run_dir": str(folder), "tag_schema": "hpr18"}), "refuse")
    return (folder / "report.html").read_text(encoding="utf-8")


class Elements(html.parser.HTMLParser):
    """Collects start tags with their attributes, and complains of tags that do not nest."""

    VOID = ("meta", "br", "img", "link")

    def __init__(self, page: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(page)
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def test_page_has_every_section_and_a_link_to_it(make_run):
    elements = Elements(report(make_run()))
    assert [h2["id"] for h2 in elements.named("h2")] == list(SECTIONS)
    assert [a["href"] for a in elements.named("a")] == [f"#{name}" for name in SECTIONS]


def test_page_asks_for_nothing_else(make_run):
    page = report(make_run())
    for tag, attributes in Elements(page).found:
        assert tag not in ("script", "link", "img", "iframe", "object", "embed")
        for key in ("src", "href", "srcset", "data", "action"):
            assert str(attributes.get(key, "#")).startswith("#"), (tag, attributes)
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert set(re.findall(r"url\((.)", page)) <= {"#"}


def test_hostile_titles_and_outputs_are_escaped(make_run):
    page = report(make_run())
    assert "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;" in page
    assert "<script" not in page
    assert "<img" not in page
    assert "Tea &lt;b&gt;" in page
    assert "\u202e" not in page


def test_every_figure_has_alternative_text(make_run):
    plots = Elements(report(make_run())).named("svg")
    assert len(plots) >= 15
    for plot in plots:
        assert plot["role"] == "img"
        assert len(plot["aria-label"]) > 20


def test_ids_are_unique_and_references_resolve(make_run):
    page = report(make_run())
    ids = re.findall(r'\sid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]*)', page)) <= set(ids)


def test_same_files_give_same_bytes(make_run):
    folder = make_run()
    assert report(folder) == report(folder)
    assert not list(folder.glob("*.tmp"))


@pytest.mark.parametrize("n_stages", range(6))
def test_missing_stages_are_said_to_be_missing(make_run, n_stages):
    page = report(make_run(n_stages))
    assert page.count("not run yet") == 6 - n_stages
    assert "Not run yet: bench." in page
    assert ("Not run yet: DF-GRPO." in page) == (n_stages < 5)
    assert [h2["id"] for h2 in Elements(page).named("h2")] == list(SECTIONS)


def test_missing_run_directory_is_one_clear_line(tmp_path):
    with pytest.raises(InputError, match="nowhere is not a run directory"):
        report(tmp_path / "nowhere")


def test_broken_result_is_named_by_file_and_line(make_run):
    folder = make_run()
    results = folder / "6_bench" / "results.jsonl"
    results.write_text(results.read_text() + '{"model": "x"}\n')
    with pytest.raises(InputError, match=r"results\.jsonl:\d+: not a result"):
        report(folder)


def test_closing_table_compares_models_with_intervals(make_run, capsys):
    folder = make_run()
    report(folder)
    printed = capsys.readouterr().out.splitlines()
    first_words = [line.split()[0] for line in printed if line]
    assert first_words[0] == "model"
    assert first_words[2:10] == ["majority", "rule", "linear", "linear_mub", "stage1", "stage2", "stage3", "df_grpo"]
    assert "0.650 [0.630, 0.670]" in printed[9]
    assert printed[-1] == str(folder / "report.html")

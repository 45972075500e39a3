"""The HTML report of a sweep, as text and in headless Chromium."""

import html
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from ripu_cli.main import app
from typer.testing import CliRunner

from ripu_ray.config import load_config
from ripu_ray.errors import RunFolderError
from ripu_ray.reporting import report
from ripu_ray.reporting.confusion import confusion
from ripu_ray.reporting.report import render, write_report
from ripu_ray.reporting.results import collect
from ripu_ray.reporting.statistics import competitors, outcomes
from ripu_ray.runs.run_folder import RunFolder
from ripu_ray.runs.stages import StageFolder
from tests.conftest import TINY
from tests.reporting.browser import Browser, open_browser
from tests.running import run_all

SECTIONS = ("curves", "means", "differences", "classes", "bought", "cost", "time", "config")
VOID = {"meta", "link", "img", "input", "br", "hr"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Two strategies and both references at two budgets, two seeds of each."""
    flags = {
        "sweep.budgets": ["5", "9px"],
        "sweep.acquisitions": ["random", "ripu", "source_only", "full"],
        "sweep.seeds": [0, 1],
    }
    config = load_config(None, (*TINY, "cluster.scorers=0"), flags)
    return run_all(tmp_path_factory.mktemp("runs") / "tiny", config)


@pytest.fixture(scope="module")
def page(run: RunFolder) -> Path:
    write_report([run], run.path / "report.html")
    return run.path / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


class _Structure(HTMLParser):
    """Every element is closed in order, and no id is there twice."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.missing: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self._attributes(tag, values)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._attributes(tag, dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, self.getpos()

    def _attributes(self, tag: str, values: dict[str, str | None]) -> None:
        self.ids += [values["id"] or ""] if "id" in values else []
        self.targets += [(values.get(name) or "")[1:] for name in ("href",) if (values.get(name) or "").startswith("#")]
        self.targets += [values["for"] or ""] if "for" in values else []
        self.targets += re.findall(r"url\(#([^)]+)\)", str(values))
        if tag in ("img", "svg") and not values.get("alt" if tag == "img" else "aria-label"):
            self.missing.append(tag)


def test_markup_is_sound(page: Path) -> None:
    structure = _Structure()
    structure.feed(page.read_text(encoding="utf-8"))
    assert structure.open == []
    assert len(structure.ids) == len(set(structure.ids))
    assert set(structure.targets) <= set(structure.ids)
    assert set(SECTIONS) <= set(structure.ids)
    assert structure.missing == []


def test_the_confusion_matrix_sums_the_seeds_of_the_best_strategy(run: RunFolder, tmp_path: Path) -> None:
    finished = outcomes(collect(run).assign(sweep="tiny"))
    table = confusion({"tiny": run}, finished)
    assert table is not None
    last = competitors(finished)[lambda there: there["condition"] == "9 px"]
    best = last.groupby("strategy")["miou"].mean().idxmax()
    assert table.caption.startswith(f"Confusion matrix of {best}, 9 px, after the last round, 2 seeds together")
    stages = [run.trial(trial).stage(1) for trial in last.loc[last["strategy"] == best, "trial"]]
    counts_CC = np.sum([counts_CC for stage in stages if (counts_CC := stage.confusion()) is not None], axis=0)
    for ((name,), cells), row_C in zip(table.rows, counts_CC, strict=True):
        shares = [f"{share:.0f}" if share >= 0.5 else "·" for share in 100 * row_C / max(row_C.sum(), 1)]
        assert [cell.text for cell in cells] == (shares if row_C.any() else ["–"] * len(row_C)), name
    copy = RunFolder(shutil.copytree(run.path, tmp_path / "older"))
    for path in copy.path.rglob("confusion.json"):
        path.unlink()
    assert confusion({"tiny": copy}, finished) is None
    shutil.copy(stages[0].path / "confusion.json", copy.trial(last["trial"].iloc[0]).stage(0).path)
    with pytest.raises(RunFolderError, match="belongs to another round or warm-up"):
        copy.trial(last["trial"].iloc[0]).stage(0).confusion()


def test_it_says_what_it_must(page: Path) -> None:
    text = html.unescape(re.sub(r"<style>.*?</style>|<svg.*?</svg>", "", page.read_text(encoding="utf-8"), flags=re.S))
    assert "Which of these acquisition functions give the best mIoU for the same labels, at 5 % and 9 px?" in text
    assert text.count("With fewer than 5 seeds no test is meaningful") == 2
    assert "of the way from source-only to full supervision" in text
    assert "8 of 12 trials" not in text
    assert "12 of 12 trials finished" in text
    assert text.count("data:image/jpeg;base64") == 2 * (1 + 2 * 2)  # the image; purchase and score of each strategy
    assert "warmup_steps: 3" in text


def test_a_browser_draws_everything_and_asks_for_nothing(page: Path, browser: Browser) -> None:
    browser.show(page)
    num_costs = browser.run("return document.querySelectorAll('input[name=cost]').length")
    assert num_costs == 5
    seen: set[int] = set()
    for number in range(num_costs):
        browser.run(f"document.querySelector('label[for=cost-{number}]').click()")
        drawn = browser.run(
            "return [...document.querySelectorAll('#curves svg')].map((e, i) => [i, e.parentElement.clientWidth > 150"
            " && e.parentElement.clientHeight > 100 && e.querySelectorAll('path').length > 10])"
        )
        shown = {index for index, is_drawn in drawn if is_drawn}
        assert len(shown) == 2  # a panel for each budget, of this cost alone
        assert not shown & seen
        seen |= shown
        browser.wait("document.querySelectorAll('#curves .drawn .bk-Figure').length >= " + str(2 * (number + 1)))
    assert len(seen) == len(drawn)
    browser.run("document.querySelectorAll('details').forEach(e => e.open = true)")
    bought = browser.run(
        "return [...document.querySelectorAll('#bought svg')].map(e => e.getBoundingClientRect().height)"
    )
    assert len(bought) == 2
    assert min(bought) > 100
    pictures = browser.run("return [...document.images].map(e => [e.complete, e.naturalWidth, e.width])")
    assert len(pictures) == 2 * 3 * 3  # for each image, a column for itself and one for each strategy
    assert all(complete and natural == 48 and width >= 240 for complete, natural, width in pictures)
    assert browser.requests() == [page.as_uri()]
    assert [text for text in browser.complaints() if "[bokeh" not in text] == []
    assert page.stat().st_size < 3e6


def test_curves_are_interactive_and_print_as_drawings(page: Path, browser: Browser) -> None:
    browser.show(page)
    browser.wait("document.querySelectorAll('.drawn .bk-Figure').length === 2")
    visible = (
        "return Bokeh.documents.flatMap(d => d.roots()).flatMap(r => r.renderers).filter(e => e.visible)"
        ".map(e => e.name).filter((e, i, all) => all.indexOf(e) === i).sort()"
    )
    assert browser.run(visible) == ["0", "1"]
    browser.run("document.querySelector('button.arm').click()")
    assert browser.run(visible) == ["1"]
    limits = browser.run(
        "return Bokeh.documents.flatMap(d => d.roots()).map(r => [r.x_range.end, r.y_range.start, r.y_range.end])"
    )
    assert limits[0] == limits[1]
    displays = "return ['.drawn > svg', '.interactive'].map(e => getComputedStyle(document.querySelector(e)).display)"
    assert browser.run(displays) == ["none", "block"]
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert browser.run(displays) == ["block", "none"]
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.mark.parametrize("width", [390, 768, 1600])
def test_it_fits_the_window_and_tables_scroll(page: Path, browser: Browser, width: int) -> None:
    browser.show(page, width=width)
    browser.run("document.querySelectorAll('details').forEach(e => e.open = true)")
    assert browser.run("return document.documentElement.scrollWidth") <= width
    scrolling = ".scroll, .pictures, pre, svg, .choice input"
    outside = f"return [...document.querySelectorAll('main *')].filter(e => !e.closest('{scrolling}')"
    beyond = browser.run(
        f"{outside} && e.getBoundingClientRect().right > {width} + 1).map(e => e.outerHTML.slice(0, 80))"
    )
    assert beyond == []
    if width == 390:
        assert browser.run("return [...document.querySelectorAll('.scroll')].some(e => e.scrollWidth > e.clientWidth)")


def test_light_and_dark_differ_and_both_can_be_read(page: Path, browser: Browser) -> None:
    def colours(scheme: str) -> tuple[list[int], list[int], list[int]]:
        browser.show(page, scheme=scheme)
        found = [
            browser.run(f"return getComputedStyle(document.querySelector('{place}')).{what}")
            for place, what in (("body", "backgroundColor"), ("body", "color"), ("#curves svg text", "fill"))
        ]
        back, ink, figure = ([int(part) for part in re.findall(r"\d+", value)][:3] for value in found)
        return back, ink, figure

    light, dark = colours("light"), colours("dark")
    light_picture = browser.picture()
    browser.show(page, scheme="light")
    assert browser.picture() != light_picture
    for (back, ink, figure), is_light in ((light, True), (dark, False)):
        assert (sum(back) > sum(ink)) is is_light
        assert abs(sum(back) - sum(ink)) > 450
        assert figure == ink


def test_what_others_named_is_escaped(run: RunFolder, tmp_path: Path) -> None:
    copy = RunFolder(shutil.copytree(run.path, tmp_path / "a<script>alert(1)<"))
    for path in copy.path.rglob("record.json"):
        stage = StageFolder(path.parent)
        record = stage.record()
        iou = {f"<img src=x onerror=alert({name})>": value for name, value in record.iou.items()}
        confusion_CC = stage.confusion()
        assert confusion_CC is not None
        stage.commit(replace(record, iou=iou), stage.seconds(), confusion_CC)
    text = render([copy])
    assert "a&lt;script&gt;alert(1)&lt;" in text
    assert "&lt;img src=x" in text
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    figures = re.findall(r'<script type="application/json">(.*?)</script>', text, flags=re.S)
    assert figures
    assert not any(re.search("[<>&]", figure) for figure in figures)
    assert text.count("<script") == len(figures) + 2


def test_names_of_arms_are_text_in_the_library_and_injected_scripts_do_not_run(
    run: RunFolder, browser: Browser, tmp_path: Path
) -> None:
    attack = "<img src=x onerror=document.title=1></script><script>document.title=1</script>$$x$$"
    page = tmp_path / "named.html"
    text = render([run]).replace('"random"', json.dumps(attack).replace("<", "\\u003c"))
    page.write_text(text.replace("</main>", f"{attack}</main>"), encoding="utf-8")
    browser.show(page)
    browser.wait("document.querySelectorAll('.drawn .bk-Figure').length === 2")
    place = browser.run(
        "document.querySelector('.drawn').scrollIntoView({block: 'center'});"
        "const view = Bokeh.index.roots[0], marker = view.model.renderers.filter(e => e.name === '0').at(-1);"
        "const at = name => marker.data_source.data[name].at(-1), box = view.el.getBoundingClientRect();"
        "return [box.x + view.frame.x_scale.compute(at('x')), box.y + view.frame.y_scale.compute(at('mean'))]"
    )
    tips = (
        "[...document.querySelectorAll('body > *, .interactive > *')].flatMap(function deep(e) {"
        " return [...(e.className.includes?.('bk-Tooltip') ? [e.shadowRoot.textContent] : []),"
        " ...[...e.children, ...(e.shadowRoot?.children ?? [])].flatMap(deep)]})"
    )
    browser.point(*place)
    browser.wait(f"{tips}.some(text => text.includes('onerror'))")
    assert browser.run("return document.title").startswith("Results of ")


def test_an_unfinished_sweep_has_a_report(run: RunFolder, tmp_path: Path) -> None:
    copy = RunFolder(shutil.copytree(run.path, tmp_path / "half"))
    shutil.rmtree(copy.trial("region-w3-ripu-b5-s0").path)
    (copy.trial("region-w3-ripu-b5-s1").stage(1).path / "record.json").unlink()
    with (copy.trial("region-w3-ripu-b5-s1").path / "metrics.jsonl").open("a") as log:
        log.write('{"failure": "round 1: lost <all> actors"}\n')
    (copy.trial("region-w3-random-b9px-s0").stage(1).path / "weights.pt").unlink()
    text = render([copy])
    assert "10 of 12 trials finished" in text
    assert "lost &lt;all&gt; actors" in text
    assert "not started" in text
    # At 5 % ripu has no finished trial; it is drawn, but not counted.
    assert "5 %:</strong> random reaches" in text
    nothing = RunFolder.create(tmp_path / "nothing", run.config)
    assert "Nothing to report yet" in render([nothing])


def test_several_sweeps_in_one_report_count_what_is_the_same_once(run: RunFolder, tmp_path: Path) -> None:
    same = RunFolder(shutil.copytree(run.path, tmp_path / "same"))
    longer = load_config(
        None,
        (*TINY, "cluster.scorers=0", "training.round_steps=3"),
        {"sweep.budgets": ["5"], "sweep.acquisitions": ["ripu"]},
    )
    other = run_all(tmp_path / "longer", longer)
    text = re.sub(r"<svg.*?</svg>", "", render([run, same, other]), flags=re.S)
    assert "12 trials of same are in tiny, too, with the same results; counted once." in text
    assert '<th scope="row">ripu, round_steps 2</th>' in text
    assert '<th scope="row">ripu, round_steps 3</th>' in text


def test_the_command_writes_it_and_says_in_a_line_what_is_wrong(run: RunFolder, tmp_path: Path) -> None:
    output = tmp_path / "new" / "page.html"
    done = CliRunner().invoke(app, ["report", str(run.path), "--output", str(output)])
    assert (done.exit_code, done.stderr) == (0, "")
    assert str(output) in done.stdout
    assert output.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    for folders, words in (
        ([tmp_path / "none"], "not a run folder"),
        ([run.path, run.path], "given more than once"),
    ):
        done = CliRunner().invoke(app, ["report", *map(str, folders)])
        assert done.exit_code == 2
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_sweep_of_many_conditions_has_a_limited_number_of_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = {"sweep.budgets": ["5px", "6px", "7px"], "sweep.acquisitions": ["random", "full"]}
    config = load_config(None, (*TINY, "cluster.scorers=0", "strategy.rounds=1"), flags)
    run = run_all(tmp_path / "many", config)
    whole = render([run])
    assert "conditions; the tables have all" not in whole
    monkeypatch.setattr(report, "MOST_PANELS", 2)
    page = render([run])
    assert "The figures show the first 2 of 3 conditions; the tables have all of them." in page
    figures = 'type="application/json"'
    assert 3 * page.count(figures) == 2 * whole.count(figures) > 0
    assert all(f"{budget} px" in page for budget in (5, 6, 7))

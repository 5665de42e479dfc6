"""The site of the documents: it builds without a warning, asks nothing of the network, and leaves nothing out."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mkdocs", reason="mkdocs is absent: the extra 'docs' brings it")
pytest.importorskip("material", reason="mkdocs-material is absent: the extra 'docs' brings it")
pytest.importorskip("mkdocstrings_handlers.python", reason="mkdocstrings is absent: the extra 'docs' brings it")

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tools"))

import docs_check  # noqa: E402
import docs_pages  # noqa: E402
import docs_verbs  # noqa: E402
from docs_blocks import blocks_of  # noqa: E402


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning of mkdocs or of any plugin would have failed it."""
    out = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout + done.stderr == ""
    return out


def words(path: Path) -> str:
    """What a page says, without its tags."""
    text = re.sub(r"<(script|style)\b.*?</\1>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", text)).split())


def outside(text: str) -> list[str]:
    """What a page would fetch from another host: scripts, styles, pictures, frames, and addresses inside of styles."""
    tags = re.findall(r"<(?:script|link|img|iframe|source|video|audio|object|embed)\b[^>]*>", text)
    found = [tag for tag in tags if re.search(r"\b(?:src|href|srcset|data)\s*=\s*[\"']?\s*(?:https?:)?//", tag)]
    return found + re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//[^)\"';]*", text)


def test_no_page_and_no_style_asks_another_host(site: Path) -> None:
    files = [path for path in site.rglob("*") if path.suffix in (".html", ".css")]
    assert len(files) > 50
    found = {str(path.relative_to(site)): outside(path.read_text(encoding="utf-8")) for path in files}
    assert {name: each for name, each in found.items() if each} == {}


def test_nothing_makes_the_scripts_of_the_theme_ask_another_host(site: Path) -> None:
    """The theme fetches a drawing library for diagrams, and facts about a repository where one is named."""
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert 'class="mermaid"' not in text, path
        assert 'data-md-component="source"' not in text, path


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/css">',
        "<img alt='' src=http://pictures.example/x.png>",
        "@import 'https://fonts.example/x.css';",
        "a { background: url(https://pictures.example/x.png) }",
    ],
)
def test_what_asks_another_host_is_noticed(text: str) -> None:
    assert len(outside(text)) == 1
    assert outside('<a href="https://example.org">x</a><img src="pictures/x.png"><link href="../x.css">') == []


def test_every_verb_has_a_page_with_its_options(site: Path) -> None:
    commands = docs_verbs.commands()
    assert {"open", "train", "predict", "chips"} <= set(commands)
    assert {path.stem for path in (site / "verbs").glob("*.html")} == set(commands)
    for name, command in commands.items():
        page = words(site / "verbs" / f"{name}.html")
        for full, leaf in docs_verbs.leaves(name, command):
            assert full in page
            names = [option for each in leaf.params for option in each.opts if option.startswith("--")]
            assert [option for option in names if option not in page] == [], full


def test_pages_of_verbs_show_the_same_job_in_python(site: Path) -> None:
    assert "learning_rate: float | None = None" in words(site / "verbs" / "train.html")
    assert "fit(" in words(site / "verbs" / "train.html")
    assert docs_verbs.mirrored(docs_verbs.commands()["train"].callback) == {"fit"}
    assert docs_verbs.mirrored(docs_verbs.commands()["evaluate"].callback) == {"score", "score_corrupted"}


def test_every_room_has_a_page_with_what_it_exports(site: Path) -> None:
    packages = {path.parent.name for path in (ROOT / "src" / "swath").glob("*/__init__.py")} - {"cli"}
    pages = {path.stem for path in (site / "rooms").glob("*.html")}
    assert packages <= pages
    for name, member in (("cubes", "CogWriter"), ("chips", "ChipLoader"), ("metrics", "ConfusionMatrix")):
        assert f'id="swath.{name}.{member}"' in (site / "rooms" / f"{name}.html").read_text(encoding="utf-8")
    front = (site / "index.html").read_text(encoding="utf-8")
    assert [name for name in packages if f'href="rooms/{name}.html"' not in front] == []


def test_every_document_and_picture_is_on_the_site(site: Path) -> None:
    for path in sorted((ROOT / "docs").rglob("*.md")):
        assert (site / path.relative_to(ROOT / "docs").with_suffix(".html")).exists(), path
    gallery = (site / "gallery.html").read_text(encoding="utf-8")
    for path in (ROOT / "docs" / "pictures").glob("*.png"):
        assert f'src="pictures/{path.name}"' in gallery
    for name in ("contributing.html", "changelog.html", "notebooks/front_door.html", "notebooks/front_door.ipynb"):
        assert (site / name).exists(), name


def test_no_page_keeps_a_comment_for_the_hook(site: Path) -> None:
    for path in site.rglob("*.html"):
        assert re.findall(r"<!-- (?:verbs|rooms|pictures) -->", path.read_text(encoding="utf-8")) == []


# --- the hook by itself


def test_links_out_of_the_documents_lead_to_pages() -> None:
    text = (
        "[a](../CONTRIBUTING.md#x) [b](../README.md#test) [c](../src/swath/rng.py) [d](pictures) [e](none.md) [f](#g)"
    )
    turned = docs_pages.turned(text, ROOT / "docs", "page.md")
    expected = "[a](contributing.md#x) [b](index.md) [c](source/src/swath/rng.py.md) d [e](none.md) [f](#g)"
    assert turned == expected
    assert docs_pages.turned("[a](docs/world.md)", ROOT, "contributing.md") == "[a](world.md)"
    assert docs_pages.turned("[a](../world.md)", ROOT / "docs" / "adr", "adr/0006.md") == "[a](../world.md)"


def test_navigation_fills_patterns_and_forgets_no_page() -> None:
    entries: list[Any] = [{"Start": ["index.md", "ad*"]}, {"Verbs": "verbs/*"}, {"None": ["none*"]}]
    filled = docs_pages.navigation(entries, ["index.md", "verbs/b.md", "verbs/a.md", "adr/1.md", "new.md"])
    assert filled == [
        {"Start": ["index.md", "adr/1.md"]},
        {"Verbs": ["verbs/a.md", "verbs/b.md"]},
        {"None": []},
        {"More": ["new.md"]},
    ]
    assert docs_pages.navigation(["index.md"], ["index.md"]) == ["index.md"]


def test_lists_after_a_paragraph_become_lists() -> None:
    assert (
        docs_pages.loose_lists("words:\n* a\n  more\n* b\n\nwords\n1. c")
        == "words:\n\n* a\n  more\n* b\n\nwords\n\n1. c"
    )
    assert docs_pages.loose_lists("# h\n\n* a\n* b") == "# h\n\n* a\n* b"


def test_code_blocks_stay_as_they_are() -> None:
    text = "words [x](y)\n```sh\n[x](y)\n```\n[x](y)\n"
    assert docs_pages.outside_code(text, str.upper) == "WORDS [X](Y)\n```sh\n[x](y)\n```\n[X](Y)\n"


def test_slow_blocks_say_when_they_ran() -> None:
    text = "<!-- slow: 3 minutes -->\n```sh\na\n```\n\n```sh\nb\n```\n"
    block = blocks_of(text, "docs/page.md")[0]
    assert "Takes about 3 minutes; not run as it stands here." in docs_pages.with_times(text, "docs/page.md", {})
    known = {block.digest: {"date": "2024-05-06", "minutes": 2.5, "processor_minutes": 4.1}}
    said = docs_pages.with_times(text, "docs/page.md", known)
    assert said.count("Last run on 2024-05-06: 2.5 minutes, 4.1 of processor time.") == 1


# --- running the slow blocks


def test_a_slow_block_runs_where_the_scene_lies() -> None:
    (block,) = blocks_of("<!-- slow: 1 minute -->\n```sh\ntest -s scene.tif && test -s polygons.geojson\n```\n", "page")
    status, minutes, processor = docs_check.run(block)
    assert status == 0
    assert minutes > 0
    assert processor >= 0


def test_a_failing_command_fails_its_block() -> None:
    (block,) = blocks_of("```sh\nfalse\ntrue\n```\n", "page")
    assert docs_check.run(block)[0] == 1


def test_a_block_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="'yaml' cannot be run"):
        docs_check.run(blocks_of("```yaml\na: 1\n```\n", "page")[0])


def test_times_are_notes_of_blocks_that_are_marked_slow() -> None:
    for run in json.loads(docs_check.TIMES.read_text(encoding="utf-8")).values():
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", run["date"])
        assert run["minutes"] > 0
        assert (ROOT / run["page"]).exists()

"""What README and docs say about the program is so: commands, settings, links, the example of a method."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "src").rglob("*.md")])

# Pages that the site makes from the code; they have no file.
GENERATED = {"reference/cli.md", "reference/methods/index.md"}


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _blocks(page: Path, *languages: str) -> list[str]:
    found = re.findall(r"^```(\w*)[^\n]*\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    return [text for language, text in found if language in languages]


def _commands() -> list[tuple[str, str]]:
    """Every `unlesion …` line in a block of commands, with its page."""
    found = []
    for page in PAGES:
        for block in _blocks(page, "console", "bash"):
            for line in block.replace("\\\n", " ").splitlines():
                command = line.removeprefix("$ ").strip()
                if command.startswith("unlesion "):
                    found.append((_name(page), command))
    return found


def _inline() -> list[tuple[str, str, tuple[str, ...]]]:
    """Every `unlesion VERB …` in running text: its page, verb and options."""
    found = []
    for page in PAGES:
        for words in re.findall(r"`unlesion ([a-z]+(?: [^`\n]*)?)`", page.read_text(encoding="utf-8")):
            verb, _, rest = words.partition(" ")
            found.append((_name(page), verb, tuple(re.findall(r"--[a-z-]+", rest))))
    return found


@pytest.fixture(scope="module")
def verbs() -> dict[str, Any]:
    import typer

    from unlesion.cli import app

    root: Any = typer.main.get_command(app)
    return dict(root.commands)


def test_there_are_commands_and_pages() -> None:
    assert len(_commands()) > 20
    assert ROOT / "README.md" in PAGES


@pytest.mark.parametrize(("page", "command"), _commands())
def test_command_lines_parse(page: str, command: str, verbs: dict[str, Any]) -> None:
    words = shlex.split(command, comments=True)[1:]
    if words == ["--help"]:
        return
    assert words[0] in verbs, f"{page}: there is no verb {words[0]!r}"
    verb = verbs[words[0]]
    # Parses names, numbers of values and types; runs nothing.
    context = verb.make_context(words[0], list(words[1:]))
    _check_values(page, context.params)


def _check_values(page: str, given: dict[str, Any]) -> None:
    """Methods, presets and settings that a command names exist."""
    from unlesion.methods.registry import get_method, method_names, preset_settings
    from unlesion.prepare import load_recipe
    from unlesion.prepare.load import builtin_recipes
    from unlesion.scoring import ScoringConfig
    from unlesion.settings import nested, parse_settings, validated
    from unlesion.training.config import TrainingConfig

    settings = parse_settings(given.get("set_") or [])
    recipe = given.get("recipe")
    load_recipe(recipe if recipe in builtin_recipes() else "brain-mri", settings["recipe"])
    validated(ScoringConfig, nested(settings["scoring"]), what="scoring")
    validated(TrainingConfig, nested(settings["training"]), what="training")
    name = given.get("method")
    if name is None or (name not in method_names() and page.endswith("add-a-method.md")):
        return
    method = get_method(name)
    preset_settings(method, given.get("preset") or "cpu")
    validated(method.Config, nested(settings["method"]), what="method")


@pytest.mark.parametrize(("page", "verb", "options"), _inline())
def test_verbs_and_options_in_running_text_exist(
    page: str, verb: str, options: tuple[str, ...], verbs: dict[str, Any]
) -> None:
    assert verb in verbs, f"{page}: there is no verb {verb!r}"
    known = {option for parameter in verbs[verb].params for option in parameter.opts} | {"--help"}
    assert set(options) <= known


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    from unlesion.methods.registry import method_names

    made = GENERATED | {f"reference/methods/{name}.md" for name in method_names()}
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target) or target.startswith("#"):
            continue
        file = Path(os.path.normpath(page.parent / target.partition("#")[0]))
        if file.is_relative_to(DOCS) and file.relative_to(DOCS).as_posix() in made:
            continue
        if not file.exists():
            broken.append(target)
    assert not broken


def test_navigation_holds_every_page() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"[\w/-]+\.md", yaml.safe_dump(yaml.safe_load(text)["nav"])))
    there = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert named == there | GENERATED


def test_settings_are_documented() -> None:
    from unlesion.prepare import Recipe
    from unlesion.scoring import ScoringConfig
    from unlesion.scoring.config import PatchConfig, PostConfig
    from unlesion.settings import setting_names
    from unlesion.training.config import TrainingConfig

    documented = set(
        re.findall(r"`([a-z0-9_.]+)`", (DOCS / "reference/settings.md").read_text(encoding="utf-8"))
    )
    wanted = {f"scoring.{name}" for name in ScoringConfig.model_fields if name not in ("patch", "post")}
    wanted |= {f"scoring.patch.{name}" for name in PatchConfig.model_fields}
    wanted |= {f"scoring.post.{name}" for name in PostConfig.model_fields}
    wanted |= {f"training.{name}" for name in TrainingConfig.model_fields}
    assert wanted <= documented
    recipes = set(re.findall(r"`([a-z0-9_.]+)`", (DOCS / "reference/recipes.md").read_text(encoding="utf-8")))
    assert set(setting_names(Recipe)) <= recipes


def test_defaults_of_settings_are_as_documented() -> None:
    from unlesion.scoring import ScoringConfig
    from unlesion.training.config import TrainingConfig

    text = (DOCS / "reference/settings.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(scoring|training)\.([a-z0-9_.]+)` \| `?([^|`]+?)`? \|", text, re.M)
    checked = 0
    for room, name, shown in rows:
        default: Any = ScoringConfig() if room == "scoring" else TrainingConfig()
        for part in name.split("."):
            default = getattr(default, part)
        if shown.startswith(("the method's own", "the preset's")):
            continue
        assert yaml.safe_load(shown) == default, f"{room}.{name}"
        checked += 1
    assert checked > 10


def test_recipe_in_the_reference_is_one() -> None:
    from unlesion.prepare.load import recipe_from

    (block,) = _blocks(DOCS / "reference/recipes.md", "yaml")
    assert recipe_from(yaml.safe_load(block), source="docs").name == "my-recipe"


def test_benchmark_in_the_how_to_is_one(tmp_path: Path) -> None:
    from unlesion.benchmark import read_spec

    (block,) = _blocks(DOCS / "how-to/benchmark.md", "yaml")
    (tmp_path / "spec.yaml").write_text(block, encoding="utf-8")
    assert read_spec(tmp_path / "spec.yaml").reference == "intensity"


def test_manifest_in_the_how_to_is_one(tmp_path: Path) -> None:
    from unlesion.scans import Cohort

    block = _blocks(DOCS / "how-to/manifest.md", "text")[0]
    (tmp_path / "manifest.csv").write_text(block, encoding="utf-8")
    cohort = Cohort.open(tmp_path / "manifest.csv", channels=("T1", "FLAIR"))
    assert cohort.subjects == ("anna", "ben", "cleo")
    assert cohort.select(label="anomalous").entries[0].modality == ("T1", "FLAIR")


def test_method_of_the_how_to_works(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from unlesion.methods.base import InputSpec, StepContext, count_parameters
    from unlesion.methods.batch import Batch
    from unlesion.methods.registry import PRESETS

    source = _blocks(DOCS / "how-to/add-a-method.md", "python")[0]
    module = types.ModuleType("blur_of_the_docs")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(source, "add-a-method.md", "exec"), module.__dict__)
    method_class = module.__dict__["Blur"]
    # What the tests ask of a method of this repository.
    sizes = {name: preset["image_size"] for name, preset in method_class.presets.items()}
    assert tuple(sizes) == PRESETS and sizes == {"tiny": 32, "cpu": 64, "gpu": 128, "paper": 128}
    for name in PRESETS:
        method_class.config_for(name)
    method = method_class(method_class.config_for("tiny"), InputSpec(size=32))
    torch.manual_seed(0)
    network = method.build()
    assert count_parameters(network) <= 50_000
    batch = Batch(
        images=torch.rand(2, 1, 32, 32),
        roi=torch.ones(2, 1, 32, 32, dtype=torch.bool),
        position=torch.full((2,), 0.5),
        spacing=torch.full((2, 2), 3.0),
        modality=(("T1",), ("T1",)),
        scan_ids=("a", "b"),
        seeds=torch.tensor([1, 2]),
    )
    (stage,) = method.stages()
    (phase,) = stage.phases
    optimizer = phase.optimizer(list(network.unet.parameters()))
    context = StepContext(generator=torch.Generator().manual_seed(0), progress=0.0, step=0)
    losses = []
    for _ in range(10):
        loss = phase.loss(network, batch, context)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    found = method.explain(network, batch)
    assert found.healthy.shape == batch.images.shape


def test_changelog_names_every_verb_and_method(verbs: dict[str, Any]) -> None:
    from unlesion.methods.registry import method_names

    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    builtin = [name for name in method_names() if not name.startswith("toy")]
    assert [name for name in [*verbs, *builtin] if f"`{name}`" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_pages_stay_with_the_product(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"/work/|\bissue #?\d|\.\./shared", text)


def test_readme_is_short_and_says_what_it_is_not() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 90
    assert "not a medical device" in text


@pytest.mark.slow
def test_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert (tmp_path / "site/index.html").is_file()
    assert (tmp_path / "site/reference/methods/dae.html").is_file()
    page = (tmp_path / "site/reference/cli.html").read_text(encoding="utf-8")
    assert "unlesion calibrate" in page
    assert "fonts.googleapis.com" not in page

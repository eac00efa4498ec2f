"""Pages of the site that are made from the code: the verbs, and a card per method."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

CARDS = "reference/methods"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the cards into the navigation, under the page that lists them."""
    from unlesion.methods.registry import method_names

    for section in config.nav or []:
        if isinstance(section, dict) and "Reference" in section:
            cards: list[Any] = [f"{CARDS}/index.md"]
            cards += [{name: f"{CARDS}/{name}.md"} for name in method_names()]
            section["Reference"] = [
                *(page for page in section["Reference"] if "Methods" not in page),
                {"Methods": cards},
            ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that have no file."""
    from unlesion.methods.registry import method_names, read_card

    files.append(File.generated(config, "reference/cli.md", content=cli_page()))
    files.append(File.generated(config, f"{CARDS}/index.md", content=methods_page()))
    for name in method_names():
        files.append(File.generated(config, f"{CARDS}/{name}.md", content=read_card(name)))
    return files


def methods_page() -> str:
    """A table of all methods, counted on built networks."""
    from unlesion.methods.registry import describe, method_names

    lines = [
        "# Methods",
        "",
        "One card per method: idea, equations, presets, published numbers, deviations from the paper. The table",
        "is what `unlesion methods` prints, parameters counted on the built networks for one channel.",
        "",
        "| method | family | what it is | tiny | cpu | gpu | paper |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in method_names():
        about = describe(name)
        presets = [about["presets"].get(preset) for preset in ("tiny", "cpu", "gpu", "paper")]
        sizes = [f"{p['parameters']:,} at {p['image_size']} px" if p else "–" for p in presets]
        lines.append(f"| [{name}]({name}.md) | {about['family']} | {about['title']} | {' | '.join(sizes)} |")
    return "\n".join([*lines, "", "For research use only; not a medical device.", ""])


def cli_page() -> str:
    """Every verb with its arguments and options, read off the command line itself."""
    import typer

    from unlesion.cli import app

    root: Any = typer.main.get_command(app)
    lines = [
        "# Command line",
        "",
        "This page is made from the program; `unlesion VERB --help` says the same. Conventions that hold for all",
        "verbs stand in [errors and exit codes](errors.md) and [manifest](manifest.md).",
        "",
    ]
    for name, verb in root.commands.items():
        lines += [f"## unlesion {name}", "", str(verb.help or ""), "", *_usage(name, verb), ""]
        lines += ["| argument or option | what it is | default |", "|---|---|---|"]
        lines += [*_rows(verb), ""]
    return "\n".join([*lines, "For research use only; not a medical device.", ""])


def _usage(name: str, verb: Any) -> list[str]:
    words = ["unlesion", name]
    for parameter in verb.params:
        if parameter.param_type_name == "argument":
            shown = parameter.metavar or parameter.name.upper()
            words.append(f"{shown}..." if parameter.nargs != 1 else shown)
        elif parameter.required:
            words.append(f"{parameter.opts[0]} {(parameter.metavar or parameter.name).upper()}")
    return ["```console", "$ " + " ".join([*words, "[OPTIONS]"]), "```"]


def _rows(verb: Any) -> Iterator[str]:
    for parameter in verb.params:
        if parameter.name == "help":
            continue
        if parameter.param_type_name == "argument":
            shown = f"`{parameter.metavar or parameter.name.upper()}`"
        else:
            metavar = f" {parameter.metavar}" if parameter.metavar else ""
            shown = f"`{parameter.opts[0]}{metavar}`"
        default = parameter.default
        if parameter.required:
            said = "required"
        elif default is None or default is False or default == () or callable(default):
            said = ""
        else:
            said = f"`{default}`"
        what = (getattr(parameter, "help", None) or "").replace("|", "\\|")
        yield f"| {shown.replace('|', chr(92) + '|')} | {what} | {said} |"

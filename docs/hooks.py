"""Pages that MkDocs makes while it builds: the reference of the configuration, from its models; the reference of the
command line, from its commands; the functions of ``import segdepth``, from their docstrings; notebooks; CONTRIBUTING.md
and CHANGELOG.md of the repository's root.

Run by MkDocs (``hooks:`` in mkdocs.yml). ``tests/test_docs.py`` calls the same functions.
"""

from __future__ import annotations

import base64
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made here to those that lie in docs/."""
    from mkdocs.structure.files import File

    pages: dict[str, str | bytes] = {
        "reference/configuration.md": configuration_page(),
        "reference/commands.md": commands_page(),
        "contributing.md": root_page("CONTRIBUTING.md"),
        "changelog.md": root_page("CHANGELOG.md"),
    }
    for path in sorted((ROOT / "docs").rglob("*.ipynb")):
        pages |= notebook_page(path)
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The functions of the Python page; above each table of results, the commit that made it."""
    path = page.file.src_uri
    if path == "reference/python.md":
        return markdown + "\n" + python_functions()
    if path.startswith("results/tables/"):
        page.meta["hide"] = ["toc"]
        shown = ROOT / "docs" / path  # read as they are: some are of earlier layouts, without a record of the run
        beside = (shown.with_name(shown.name + suffix) for suffix in (".run.json", ".manifest.json"))
        manifest = json.loads(next(each for each in beside if each.exists()).read_text(encoding="utf-8"))
        title, _, rest = markdown.strip().partition("\n")
        if not title.startswith("# "):
            title, rest = f"# {page.title}", markdown
        commit, _, changed = manifest["commit"].partition("+")
        made = f"Made with commit `{commit[:7]}`" + (", with changes that were not committed." if changed else ".")
        older = "Older names are [listed here](../ablation.md#names-in-the-tables)."
        return f"{title}\n\n{made} {older}\n\n{rest.lstrip()}"
    return markdown


def root_page(name: str) -> str:
    """A page of the repository's root, whose links into docs/ are made those of the site."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return text.replace("](docs/", "](").replace("](CONTRIBUTING.md", "](contributing.md")


def notebook_page(path: Path) -> dict[str, str | bytes]:
    """The page of a notebook and its pictures, by their paths in docs/: texts, code, and the outputs that it keeps."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    place = path.relative_to(ROOT / "docs").with_suffix("")
    parts, files = [], {}
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text)
            continue
        parts.append(f"```python\n{text}\n```")
        for output in cell["outputs"]:
            if "text" in output:
                parts.append("```text\n{}```".format("".join(output["text"])))
                continue
            picture = f"{place}-{len(files)}.png"
            files[picture] = base64.b64decode(output["data"]["image/png"])
            parts.append(f"![Plot made by the code above]({Path(picture).name})")
    title, _, rest = "\n\n".join(parts).partition("\n")
    return {f"{place}.md": f"{title}\n\n[This page as a notebook]({path.name})\n{rest}\n", **files}


# the configuration


def configuration_page() -> str:
    """Every section of config.yaml, from the models that check it: keys, defaults, allowed values, meaning."""
    from segdepth.config import Config

    schema = Config.model_json_schema()
    parts = [
        "# Configuration",
        "Made from the models in `pipeline/segdepth/config/`, which check `config.yaml` before anything runs. A key "
        "that is not listed is refused. `segdepth check-config` checks a file, `segdepth schema` prints the JSON "
        "schema, which editors read for completion.",
        "Lengths are in pm unless the key says otherwise, angles in mrad or degrees as it says. `[low, high]` is a "
        "range from which values are drawn. A name (`wedge`, `beam300`, …) is yours to choose; it becomes part of "
        "paths below `data/` and `results/`.",
        "## Top level",
        _table(schema, schema),
    ]
    done: set[str] = set()
    for section, prop in schema["properties"].items():
        for name in _references(prop):
            parts += list(_block(schema, name, f"`{section}`", done))
    return "\n\n".join(parts) + "\n"


def _block(schema: dict, name: str, title: str, done: set[str]) -> Iterator[str]:
    """The heading, the text and the table of a block, then those of the blocks inside it."""
    if name in done:
        return
    done.add(name)
    block = schema["$defs"][name]
    if "properties" not in block:
        return
    yield f"## {title}"
    if block.get("description"):
        yield _prose(block["description"])
    yield _table(schema, block)
    for key, prop in block["properties"].items():
        for inner in _references(prop):
            yield from _block(schema, inner, f"{title} → `{key}`", done)


def _references(value: Any) -> list[str]:
    """Names of the definitions that a piece of schema refers to, in order."""
    if isinstance(value, dict):
        found = [value["$ref"].rsplit("/", 1)[1]] if "$ref" in value else []
        return found + [name for key, inner in value.items() if key != "$ref" for name in _references(inner)]
    if isinstance(value, list):
        return [name for inner in value for name in _references(inner)]
    return []


def _table(schema: dict, block: dict) -> str:
    rows = ["| key | default | allowed | meaning |", "| :-- | :-- | :-- | :-- |"]
    required = block.get("required", [])
    for key, prop in block["properties"].items():
        default = "**required**" if key in required else _default(prop.get("default"))
        about = prop.get("description") or next(iter(_texts(prop, schema)), "")
        cells = (f"`{key}`", default, allowed(prop, schema), _prose(about))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def _texts(prop: dict, schema: dict) -> Iterator[str]:
    """Descriptions of the blocks that a key holds: the meaning of a key without a description of its own."""
    for name in _references(prop):
        text = schema["$defs"][name].get("description", "")
        if text:
            yield text


def _default(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, dict) and value:
        return "its block's"
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def _prose(text: str) -> str:
    text = " ".join(text.replace("``", "`").split()).replace("<", "&lt;").replace("[", "\\[")
    return re.sub(r"(?<=\d)\^(\d)", r"<sup>\1</sup>", text)


def allowed(prop: dict, schema: dict) -> str:
    """The values that a key may have, in words."""
    if "$ref" in prop:
        name = prop["$ref"].rsplit("/", 1)[1]
        block = "properties" in schema["$defs"][name]
        return "a block, see below" if block else allowed(schema["$defs"][name], schema)
    for union in ("anyOf", "oneOf"):
        if union in prop:
            kinds = [allowed(each, schema) for each in prop[union] if each.get("type") != "null"]
            return " or ".join(dict.fromkeys(kinds))
    if "allOf" in prop:
        return allowed(prop["allOf"][0], schema)
    if "enum" in prop or "const" in prop:
        return ", ".join(f"`{value}`" for value in prop.get("enum", [prop.get("const")]))
    kind = prop.get("type")
    if kind == "array":
        return _array(prop, schema)
    if kind == "object":
        inner = prop.get("additionalProperties") or next(iter(prop.get("patternProperties", {}).values()), None)
        return f"by name: {allowed(inner, schema)}" if isinstance(inner, dict) else "a mapping"
    if kind in ("number", "integer"):
        return _number(prop)
    return {"boolean": "`true`, `false`", "string": "a name" if "pattern" in prop else "text"}.get(kind, "")


def _array(prop: dict, schema: dict) -> str:
    items = prop.get("prefixItems")
    if items:
        inner = [allowed(each, schema) for each in items]
        same = len(set(inner)) == 1
        return f"[{len(inner)} × {inner[0]}]" if same else "[" + ", ".join(inner) + "]"
    return f"a list of: {allowed(prop.get('items', {}), schema)}"


def _number(prop: dict) -> str:
    kind = "whole number" if prop["type"] == "integer" else "number"
    low, high = prop.get("minimum", prop.get("ge")), prop.get("maximum", prop.get("le"))
    above, below = prop.get("exclusiveMinimum", prop.get("gt")), prop.get("exclusiveMaximum", prop.get("lt"))
    first = f"≥ {low:g}" if low is not None else f"> {above:g}" if above is not None else ""
    last = f"≤ {high:g}" if high is not None else f"< {below:g}" if below is not None and below < 2**53 else ""
    if low is not None and high is not None:
        text = f"{kind} {low:g} to {high:g}"
    else:
        text = f"{kind} " + ", ".join(limit for limit in (first, last) if limit)
    multiple = prop.get("multipleOf", prop.get("multiple_of"))
    if multiple is not None:
        text += f", a multiple of {multiple:g}"
    return text.strip()


# the command line


def commands_page() -> str:
    """Every command with its arguments and options, as in `segdepth COMMAND --help`."""
    parts = [
        "# Command line",
        "Made from the commands of `pipeline/segdepth/cli/`. Each rule of the workflow calls the command of its name "
        "(`simulate_waves` calls `segdepth simulate-waves`), so every step can be typed by hand. Three names differ: "
        "`predict_micrograph`, `explain_prediction` and `adapt_network` call `segdepth predict`, `segdepth explain` "
        "and `segdepth adapt`. `trace`, `verify`, `export-crate`, `clean-shards`, `check-config`, `check-cluster` and "
        "`schema` have no rule. An option that takes a block accepts `FILE:NAME` (`config.yaml:beam300`) or JSON. An "
        "error is reported in one line, with exit status 2; `--debug` also shows the traceback.",
    ]
    for name, command in commands().items():
        parts += [f"## segdepth {name}", *map(_paragraph, (command.help or "").split("\n\n"))]
        rows = ["| argument or option | default | meaning |", "| :-- | :-- | :-- |"]
        for parameter in command.params:
            rows.append(_parameter(parameter))
        if len(rows) > 2:
            parts.append("\n".join(rows))
    return "\n\n".join(parts) + "\n"


def _paragraph(text: str) -> str:
    """A paragraph of a command's help; lists keep their lines."""
    return f"```text\n{text}\n```" if "\n" in text else _prose(text)


def commands() -> dict[str, Any]:
    """The commands of ``segdepth`` by name, in the order of the headings of its help."""
    import typer

    from segdepth.cli import app
    from segdepth.cli.app import GROUPS

    found = dict(typer.main.get_command(app).commands)
    first = [name for names in GROUPS.values() for name in names]
    return {name: found[name] for name in [*first, *(name for name in found if name not in first)]}


def _parameter(parameter: Any) -> str:
    argument = parameter.param_type_name == "argument"
    name = parameter.name.upper() if argument else ", ".join([*parameter.opts, *parameter.secondary_opts])
    default = parameter.default() if callable(parameter.default) else parameter.default
    if parameter.required:
        shown = "**required**"
    elif default in (None, (), [], "") or type(default).__name__ == "Sentinel":
        shown = ""
    else:
        shown = f"`{default}`"
    text = _prose(getattr(parameter, "help", "") or "")
    if getattr(parameter, "multiple", False) and "repeat" not in text:
        text += " (may be repeated)"
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in (f"`{name}`", shown, text)) + " |"


# the Python interface


def python_functions() -> str:
    """Signature, text, parameters, result and errors of everything that ``import segdepth`` offers."""
    import segdepth
    from segdepth.crystals import make_crystal

    parts = []
    for name in sorted(segdepth.__all__, key=str.lower):
        each = make_crystal if name == "crystal" else getattr(segdepth, name)
        parts += [f"## segdepth.{name}"]
        if inspect.isfunction(each):
            parts.append(f"```python\n{_signature(name, each)}\n```")
        parts.append(docstring_text(inspect.getdoc(each) or ""))
    return "\n\n".join(parts) + "\n"


def _signature(name: str, function: Any) -> str:
    """A parameter a line, as it is written in the source."""
    signature = inspect.signature(function)
    lines, keywords = [], False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not keywords:
            lines.append("    *,")
            keywords = True
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        lines.append(f"    {parameter.name}: {parameter.annotation}{default},")
    return "\n".join([f"{name}(", *lines, f") -> {signature.return_annotation}"])


def docstring_text(text: str) -> str:
    """A docstring in NumPy's style as Markdown: entries ``name : text`` become the rows of a table."""
    sections = re.split(r"^(Parameters|Returns|Raises)\n-+\n", text, flags=re.MULTILINE)
    parts = [_entries(sections[0])]
    for heading, body in zip(sections[1::2], sections[2::2]):
        if heading == "Raises":
            body = re.sub(r"^(\w[\w, ]*)\n {4}", r"\1 : ", body, flags=re.MULTILINE)
        parts += [f"**{heading}**", _entries(body)]
    return "\n\n".join(parts)


def _entries(text: str) -> str:
    """Paragraphs as they are; those that begin with ``name :`` as a table."""
    done = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        entries = re.split(r"^(\w[\w, ]*) : ", paragraph, flags=re.MULTILINE)
        if len(entries) == 1:
            done.append(_prose(paragraph))
            continue
        rows = [f"| `{name}` | {_prose(about)} |" for name, about in zip(entries[1::2], entries[2::2])]
        done.append("\n".join(["| name | meaning |", "| :-- | :-- |", *rows]))
    return "\n\n".join(done)

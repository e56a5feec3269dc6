"""The command line. Each command parses its options, calls one public function and prints the result."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from edgedistill.errors import UserError

app = typer.Typer(
    name="edgedistill",
    help="Distil a transformer in rounds, quantize, export, verify and benchmark, and choose the student to ship.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe file, or the name of a shipped recipe.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Override one value: rounds.0.stages.0.epochs=3. Repeatable."),
]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Run folder (default: runs/NAME).")]
StoreFolder = Annotated[
    Path | None,
    typer.Option(
        "--store", metavar="DIR", help="Artifact store, can be shared by runs (default: inside the run folder)."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

NOTHING_FITS = 3


@app.command()
def run(
    recipe: RecipeName,
    overrides: Overrides = None,
    out: Out = None,
    store: StoreFolder = None,
    verify_hashes: Annotated[
        bool, typer.Option("--verify-hashes", help="Check finished steps by sha256, not only by file size.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a recipe, reusing finished steps. Exit code 3 when no candidate meets the limits."""
    from edgedistill import api
    from edgedistill.cli import tables

    results = api.run(recipe, overrides or (), out=out, store=store, verify_hashes=verify_hashes)
    _print(results.model_dump(mode="json", by_alias=True)) if as_json else tables.results(results)
    if results.chosen is None:
        raise typer.Exit(NOTHING_FITS)


@app.command()
def plan(
    recipe: RecipeName,
    overrides: Overrides = None,
    out: Out = None,
    store: StoreFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show what run would do: steps, what is already done, expected parameters and file sizes."""
    from edgedistill import api
    from edgedistill.cli import tables

    planned = api.plan(recipe, overrides or (), out=out, store=store)
    _print(tables.plan_facts(planned)) if as_json else tables.plan(planned)


@app.command()
def suggest(
    recipe: RecipeName,
    overrides: Overrides = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Time this machine's layers again instead of using the cache.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Estimate file sizes and latency before training, and propose student shapes that meet the limits."""
    from edgedistill import api
    from edgedistill.cli import suggested

    found = api.suggest(recipe, overrides or (), refresh=refresh)
    _print(suggested.suggestions_facts(found)) if as_json else suggested.suggestions(found)


@app.command("show")
def show_recipe(recipe: RecipeName, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Print the resolved recipe, with inherited values, overrides and all defaults."""
    from edgedistill.recipe import reading

    loaded = reading.load(recipe, overrides or ())
    if as_json:
        _print(loaded.model_dump(mode="json", by_alias=True))
    else:
        typer.echo(reading.dump(loaded), nl=False)


@app.command()
def recipes(as_json: AsJson = False) -> None:
    """List the shipped recipes."""
    from edgedistill.cli import tables
    from edgedistill.recipe import reading

    files = reading.shipped()
    _print({name: str(file) for name, file in files.items()}) if as_json else tables.recipes(files)


@app.command()
def schema(
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the reference in Markdown (docs/recipe.md) instead.")
    ] = False,
) -> None:
    """Print the JSON schema of recipes, including plug-ins, for editors and other programs."""
    from edgedistill.recipe import json_schema, reference

    found = json_schema.json_schema()
    typer.echo(reference.markdown(found), nl=False) if as_markdown else _print(found)


@app.command()
def bundle(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run's folder.")],
    candidate: Annotated[
        str | None, typer.Option("--candidate", metavar="ID", help="Bundle this candidate instead of the chosen one.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Default: RUN/bundle.")] = None,
    store: Annotated[
        Path | None, typer.Option("--store", metavar="DIR", help="The run's artifact store, if it was moved.")
    ] = None,
) -> None:
    """Write the chosen candidate as a self-testing folder: files, tokenizer, golden inputs, examples, card."""
    from edgedistill import api

    typer.echo(f"{api.bundle(run, candidate, out=out, store=store)}")


@app.command()
def generate(
    place: Annotated[
        Path, typer.Argument(metavar="RUN|FILE", help="A finished run, a bundle, or a model file or folder.")
    ],
    prompt: Annotated[str, typer.Option("--prompt", help="The text to continue.")],
    candidate: Annotated[
        str | None, typer.Option("--candidate", metavar="ID", help="Candidate of a run; default: the chosen one.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="A run's PyTorch model: teacher or a round id.")
    ] = None,
    chat: Annotated[
        bool, typer.Option("--chat", help="Treat the prompt as a user message and apply the tokenizer's chat template.")
    ] = False,
    tokenizer: Annotated[
        Path | None, typer.Option("--tokenizer", help="Folder with tokenizer.json, for a single model file.")
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option("--runtime", help="Runtime for a single file or bundle; default: one that opens such a file."),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=1, help="Default: 256, or what fits the model's context.")
    ] = None,
    temperature: Annotated[float, typer.Option("--temperature", help="Sampling temperature; 0: greedy.")] = 0.0,
    top_k: Annotated[int, typer.Option("--top-k", help="Sample from this many most likely tokens; 0: all.")] = 0,
    top_p: Annotated[
        float, typer.Option("--top-p", help="Sample from the most likely tokens with this total probability.")
    ] = 1.0,
    seed: Annotated[int, typer.Option("--seed", help="Random seed of sampling.")] = 0,
) -> None:
    """Continue a text or answer a chat message with a model, streaming the output."""
    from edgedistill import api

    said = api.generate(
        place, [{"role": "user", "content": prompt}] if chat else prompt, candidate=candidate, model=model,
        tokenizer=tokenizer, runtime=runtime, max_tokens=max_tokens, temperature=temperature, top_k=top_k, top_p=top_p,
        seed=seed,
    )  # fmt: skip
    for piece in said:
        typer.echo(piece, nl=False)
    typer.echo()


@app.command()
def measure(
    file: Annotated[Path, typer.Argument(metavar="FILE|BUNDLE", help="A model file, or a bundle's folder.")],
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Data file, for a model file; if it has labels, accuracy is measured too."),
    ] = None,
    tokenizer: Annotated[
        Path | None, typer.Option("--tokenizer", help="Folder with tokenizer.json and config.json.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option("--column", metavar="NAME=COLUMN", help="Column name: text=sentence. Repeatable."),
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", help="Task of a model file; default: text-classification.")
    ] = None,
    metric: Annotated[str | None, typer.Option("--metric", help="Metric for a model file; default: accuracy.")] = None,
    runtime: Annotated[str | None, typer.Option("--runtime", help="Default: onnxruntime, or the bundle's.")] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Default: 1, or the bundle's.")] = None,
    batch: Annotated[int | None, typer.Option("--batch", min=1, help="Default: 1, or the bundle's.")] = None,
    max_length: Annotated[
        int | None, typer.Option("--max-length", min=1, help="Truncate inputs to this many tokens; default: 128.")
    ] = None,
    min_seconds: Annotated[float, typer.Option("--min-seconds", min=0.1)] = 5.0,
    emulated_cpu: Annotated[
        str | None, typer.Option("--emulated-cpu", help="Processor to emulate: cortex-a76 or cortex-a53.")
    ] = None,
    emulated_items: Annotated[
        int | None, typer.Option("--emulated-items", min=1, help="Run only this many items under emulation.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Where to write a bundle's results; default: bundle-results.json."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Benchmark a model file on a data set, or test and benchmark a bundle on this machine."""
    from edgedistill import api
    from edgedistill.cli import measured

    options = api.MeasureOptions(
        tokenizer=tokenizer, task=task, metric=metric, columns=_pairs(column or (), "--column"), runtime=runtime,
        threads=threads, batch=batch, max_length=max_length, min_seconds=min_seconds, emulated_cpu=emulated_cpu,
        emulated_items=emulated_items,
    )  # fmt: skip
    if data is None:
        out = out or Path("bundle-results.json")
        tested = api.measure(file, options=options, out=out)
        _print(tested.model_dump(mode="json", by_alias=True)) if as_json else measured.device_measurement(tested, out)
        return
    found = api.measure(file, data, options, out=out)
    _print(measured.measurement_facts(found)) if as_json else measured.measurement(found)


@app.command()
def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN RUN...", help="Finished runs, or one run and results of its bundles (*.json)."),
    ],
    as_json: AsJson = False,
) -> None:
    """Compare finished runs on the same examples, or a run with other machines' measurements of its bundles."""
    from edgedistill import api
    from edgedistill.cli import compared

    if api.are_measurements(runs[1:]):
        fronts = api.compare_devices(runs[0], runs[1:])
        _print(compared.fronts_facts(fronts)) if as_json else compared.fronts(fronts)
        return
    summaries = api.compare(runs)
    _print(compared.comparison_facts(summaries)) if as_json else compared.comparison(summaries)


@app.command()
def doctor(
    install: Annotated[
        str | None, typer.Option("--install", metavar="NAME", help="Create a virtual environment for this runtime.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show versions, instruction sets, which targets and runtimes are installed, and how to install the others."""
    from edgedistill.cli import doctor, tables
    from edgedistill.isolation import environments

    if install is not None:
        typer.echo(f"created {environments.install(install)}", err=True)
    found = doctor.diagnose()
    _print(found) if as_json else tables.diagnosis(found)


@app.callback(invoke_without_command=True)
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Options without a command."""
    if version:
        from edgedistill.version import __version__

        typer.echo(f"edgedistill {__version__}")
        raise typer.Exit


def _pairs(given: Sequence[str], flag: str) -> dict[str, str]:
    """`name=value` flags as a mapping.

    Raises:
        UserError: a flag without '='.
    """
    for pair in given:
        if "=" not in pair:
            raise UserError(f"{flag} {pair}: expected NAME=VALUE")
    return dict(pair.split("=", 1) for pair in given)


def _print(content: object) -> None:
    typer.echo(json.dumps(content, indent=1, ensure_ascii=False))


def main() -> None:
    """Entry point."""
    from edgedistill.cli import entry

    entry.main()


if __name__ == "__main__":
    main()

"""Does bertsmith train as good a model as the reference implementation? The same fine-tuning with both, side by side.

    python benchmarks/quality.py --quick                        # minutes: 60 steps of two sets, to see that it works
    python benchmarks/quality.py --seeds 5                      # all sets, ours and theirs in turn
    python benchmarks/quality.py --sets cola,sst2 --tools ours --seeds 3 --device cuda --out mine.json
    python benchmarks/quality.py --table mine.json theirs.json  # the table of results that are there, training nothing

ours: `bertsmith.train` and `bertsmith.evaluate` on the files. trainer: Hugging Face's `Trainer` on the rows that
bertsmith read, as its text-classification example does it. Both start from the same encoder and take the same number
of steps at the same rates; neither sees dev before it has ended; both are scored by the same lines of this file.

It needs `pip install 'bertsmith[bench]'`, the encoder (--encoder: a folder or minilm) and the folder of data sets
(--data, or BERTSMITH_DATA), which holds the sets as their makers publish them: see SETS for the files.
Results are written after every run; the same command again goes on where it ended.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

HERE = Path(__file__).resolve().parent
TOOLS = {"ours": "bertsmith", "trainer": "Trainer"}
# Devlin et al. 2019, appendix A.2, as are AdamW and the linear decay to zero; also bertsmith's defaults.
BATCH, MAX_LENGTH, WARMUP, WEIGHT_DECAY, EPSILON, CLIP = 32, 128, 0.1, 0.01, 1e-8, 1.0


@dataclass(frozen=True, slots=True)
class Set:
    """A data set. train, dev: files, read one after another. sample: so many rows of train, always the same."""

    title: str
    train: tuple[str, ...]
    dev: tuple[str, ...]
    columns: Mapping[str, str]
    scores: tuple[str, ...]
    epochs: int
    learning_rate: float = 1e-4
    header: bool = True
    sample: int | None = None
    task: str = "classify"


# 1e-4 is in the middle of what Turc et al. 2019 try for compact BERTs (3e-5 to 3e-4) and bertsmith's default for an
# encoder this narrow. Devlin et al. 2019 train for 2 to 4 epochs; here it is 2, more for RTE, which is small, and less
# for SST-2, which is large: enough to compare two tools on a processor, not to set a record.
SST2 = ("sst2/train.tsv",), ("sst2/dev.tsv",), {"text": "sentence", "label": "label"}, ("accuracy",), 1
SETS = {
    "cola": Set(
        "CoLA", ("cola/in_domain_train.tsv",), ("cola/in_domain_dev.tsv", "cola/out_of_domain_dev.tsv"),
        {"text": "4", "label": "2"}, ("MCC",), 2, header=False,
    ),
    "mrpc": Set(
        "MRPC", ("mrpc/msr_paraphrase_train.txt",), ("mrpc/msr_paraphrase_test.txt",),
        {"text": "#1 String", "text_b": "#2 String", "label": "Quality"}, ("F1", "accuracy"), 2,
    ),
    "rte": Set(
        "RTE", ("rte/train.tsv",), ("rte/dev.tsv",),
        {"text": "sentence1", "text_b": "sentence2", "label": "label"}, ("accuracy",), 3, learning_rate=5e-5,
    ),
    "stsb": Set(
        "STS-B", ("stsb/stsb-en-train.csv",), ("stsb/stsb-en-dev.csv",), {"text": "1", "text_b": "2", "label": "3"},
        ("Pearson", "Spearman"), 2, header=False, task="regress",
    ),
    "sst2_10k": Set("SST-2, 10,000 rows", *SST2, sample=10_000),
    "sst2": Set("SST-2", *SST2),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Job:
    """A set, read and ready for either tool. encoder: its folder. recipe: what runs must share to be compared."""

    set: Set
    encoder: Path
    train_file: Path
    dev_file: Path
    train: Sequence[Any]
    dev: Sequence[Any]
    steps: int
    recipe: Mapping[str, Any]

    def targets(self, examples: Sequence[Any]) -> list[Any]:
        """Labels by name, or numbers."""
        return [example.target if self.set.task == "regress" else example.target[0] for example in examples]


def prepare(name: str, options: argparse.Namespace, work: Path) -> Job:
    """Read a set with bertsmith's readers, and say how many of its rows are cut at MAX_LENGTH."""
    from bertsmith.api import read_examples
    from bertsmith.checkpoint import find
    from bertsmith.data import ReadOptions
    from bertsmith.files import sha256
    from bertsmith.tasks import task_class
    from bertsmith.tokenizer import Tokenizer

    this = SETS[name]
    train_files, dev_files = ([options.data / file for file in files] for files in (this.train, this.dev))
    train_file = one_file(train_files, work / f"{name}-train", this.header, this.sample)
    dev_file = one_file(dev_files, work / f"{name}-dev", this.header, None)
    task, folder = task_class(this.task)(), find(options.encoder).folder
    (train, _), (dev, _) = (read_examples(task, file, this.columns, ReadOptions()) for file in (train_file, dev_file))
    tokenizer = Tokenizer.from_folder(folder)
    cut = [
        sum(sequence.cut > 0 for (sequence,) in task.encode(examples, tokenizer, max_length=MAX_LENGTH))
        for examples in (train, dev)
    ]
    steps = min(this.epochs * math.ceil(len(train) / BATCH), options.quick or sys.maxsize)
    print(
        f"{name}: {len(train):,} rows to train on, {len(dev):,} to score, of which {cut[0]} and {cut[1]} are cut at "
        f"{MAX_LENGTH} tokens; {steps:,} steps of {BATCH} rows, up to a rate of {this.learning_rate:g}",
        flush=True,
    )
    recipe = {"steps": steps, "learning_rate": this.learning_rate, "rows": [len(train), len(dev)], "rows_cut": cut,
              "encoder_sha256": sha256(folder / "model.safetensors")}  # fmt: skip
    return Job(this, folder, train_file, dev_file, train, dev, steps, recipe)


def one_file(files: Sequence[Path], to: Path, header: bool, sample: int | None) -> Path:
    """A new file with the lines of these, or a sample of them; the file itself where one is wanted whole."""
    if len(files) == 1 and sample is None:
        return files[0]
    lines = [line for file in files for line in file.read_bytes().removesuffix(b"\n").split(b"\n")]
    if sample is not None:
        lines = lines[:header] + random.Random(1).sample(lines[header:], sample)
    path = to.with_suffix(files[0].suffix)
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def train_ours(job: Job, seed: int, device: str, work: Path) -> tuple[list[Any], float]:
    """What bertsmith's model answers for dev, and the seconds that all its steps took."""
    import bertsmith
    from bertsmith.events import Began, Ended

    at: dict[type, float] = {}
    run = bertsmith.train(
        job.set.task,
        bertsmith.Settings(
            train=job.train_file, columns=dict(job.set.columns), dev_fraction=0, keep="last", out=work / "ours",
            overwrite=True, encoder=str(job.encoder), max_steps=job.steps, batch_size=BATCH, max_length=MAX_LENGTH,
            learning_rate=job.set.learning_rate, schedule="linear", warmup=WARMUP, weight_decay=WEIGHT_DECAY,
            adam_epsilon=EPSILON, clip=CLIP, seed=seed, device=device,
        ),
        listen=lambda event: at.update({type(event): time.perf_counter()}),
    )  # fmt: skip
    assert run.fit.steps == job.steps, (run.fit.steps, job.steps)
    model = bertsmith.load(run.folder, device=device)
    answers = bertsmith.evaluate(model, job.dev_file, columns=job.set.columns, resamples=0).predictions
    return [answer.value if job.set.task == "regress" else answer.label for answer in answers], at[Ended] - at[Began]


def train_trainer(job: Job, seed: int, device: str, work: Path) -> tuple[list[Any], float]:
    """The same of `Trainer`; the seconds are its own ``train_runtime``."""
    import numpy as np
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    numbers = job.set.task == "regress"
    tokenizer = transformers.AutoTokenizer.from_pretrained(job.encoder)
    labels = [] if numbers else sorted(set(job.targets(job.train)))

    def encoded(examples: Sequence[Any]) -> list[dict[str, Any]]:
        texts = [[getattr(row, field) for row in examples] for field in ("text", "text_b") if field in job.set.columns]
        columns = dict(tokenizer(*texts, truncation=True, max_length=MAX_LENGTH))
        columns["labels"] = [target if numbers else labels.index(target) for target in job.targets(examples)]
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    transformers.set_seed(seed)  # before the model is made: its last layer starts at random
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        job.encoder,
        num_labels=1 if numbers else len(labels),
        problem_type="regression" if numbers else "single_label_classification",
        dtype=torch.float32,  # weights kept in half precision would be trained in it
    )
    arguments = transformers.TrainingArguments(
        output_dir=str(work / "trainer"), max_steps=job.steps, per_device_train_batch_size=BATCH,
        per_device_eval_batch_size=128, learning_rate=job.set.learning_rate, lr_scheduler_type="linear",
        warmup_steps=int(WARMUP * job.steps), weight_decay=WEIGHT_DECAY, adam_epsilon=EPSILON, max_grad_norm=CLIP,
        seed=seed, use_cpu=device == "cpu", report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    assert arguments.n_gpu <= 1, "Trainer would multiply the batch by the GPUs; show it one with CUDA_VISIBLE_DEVICES"
    collator = transformers.DataCollatorWithPadding(tokenizer)
    trainer = transformers.Trainer(model, arguments, collator, train_dataset=encoded(job.train))
    trainer.remove_callback(transformers.PrinterCallback)
    result, dev = trainer.train(), encoded(job.dev)
    assert result.global_step == job.steps, (result.global_step, job.steps)
    found = trainer.predict(dev)
    assert np.allclose(found.label_ids, [row["labels"] for row in dev]), "Trainer gave the rows back in another order"
    given = found.predictions.reshape(-1).tolist() if numbers else [labels[i] for i in found.predictions.argmax(-1)]
    return given, result.metrics["train_runtime"]


def scores_of(truth: Sequence[Any], given: Sequence[Any], names: Sequence[str]) -> dict[str, float]:
    """The scores by name; F1 is that of label 1."""
    from scipy.stats import pearsonr, spearmanr
    from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

    ways: dict[str, Callable[[], Any]] = {
        "MCC": lambda: matthews_corrcoef(truth, given),
        "F1": lambda: f1_score(truth, given, pos_label="1"),
        "accuracy": lambda: accuracy_score(truth, given),
        "Pearson": lambda: pearsonr(truth, given).statistic,
        "Spearman": lambda: spearmanr(truth, given).statistic,
    }
    return {name: float(ways[name]()) for name in names}


def measure(
    options: argparse.Namespace,
    prepare: Callable[[str, argparse.Namespace, Path], Any],
    train: Mapping[str, Callable[[Any, int, str, Path], tuple[Any, float]]],
    score: Callable[[Any, Any], Mapping[str, float]],
    *,
    packages: Iterable[str] = (),
) -> None:
    """Train what the results do not hold yet, and write them after every run.

    prepare: a set's name, the options and a folder to work in, to a job with its `steps` and its `recipe`. train: of
    every tool; a job, a seed, a device and the folder, to what the model answers and the seconds of its training.
    score: a job and those answers, to the scores by name. packages: whose versions are written, beside the usual ones.
    """
    import torch

    import bertsmith
    from bertsmith.files import write_text
    from bertsmith.infer.engine import pick_device

    device = pick_device(options.device).type
    machine = torch.cuda.get_device_name() if device == "cuda" else f"{os.cpu_count()} cores, {platform.machine()}"
    versions = {
        name: version(name) for name in ("torch", "transformers", "accelerate", "tokenizers", "numpy", *packages)
    }
    versions |= {"bertsmith": bertsmith.__version__, "Python": platform.python_version()}
    runs = read_runs([options.out]) if options.out.exists() else []
    options.out.parent.mkdir(parents=True, exist_ok=True)
    turns, began = list(product(range(1, options.seeds + 1), options.tools)), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for name in options.sets:
            job = prepare(name, options, Path(folder))
            for turn, (seed, tool) in enumerate(turns, start=1):
                kept = [run for run in runs if (run["set"], run["tool"], run["seed"]) == (name, tool, seed)]
                if any(run["recipe"] != job.recipe for run in kept):
                    sys.exit(f"{options.out}: holds {name} trained otherwise ({kept[0]['recipe']}); give another --out")
                if kept:
                    continue
                given, seconds = train[tool](job, seed, device, Path(folder))
                scores = score(job, given)
                runs.append({"set": name, "tool": tool, "seed": seed, "scores": scores, "seconds": round(seconds, 3),
                             "recipe": job.recipe, "machine": machine, "versions": versions})  # fmt: skip
                write_text(options.out, json.dumps({"runs": runs}, indent=1) + "\n")
                shown = ", ".join(f"{score} {value:.4f}" for score, value in scores.items())
                print(
                    f"{name}, seed {seed}, {TOOLS[tool]}: {shown}; {seconds:.1f} s, {job.steps / seconds:.1f} steps/s "
                    f"({turn} of {len(turns)} of this set; {time.monotonic() - began:.0f} s so far)",
                    flush=True,  # a killed run shows how far it came
                )


def read_runs(files: Sequence[Path]) -> list[dict[str, Any]]:
    """The runs of all these files of results."""
    return [run for file in files for run in json.loads(file.read_text(encoding="utf-8"))["runs"]]


def described(this: Set, recipe: Mapping[str, Any]) -> str:
    """What the runs of a set share."""
    (train, dev), (train_cut, dev_cut) = recipe["rows"], recipe["rows_cut"]
    return (
        f"{this.title}: {train:,} rows to train on ({train_cut} of them cut at {MAX_LENGTH} tokens), "
        f"{dev:,} to score ({dev_cut} cut), {recipe['steps']:,} steps, rate {recipe['learning_rate']:g}"
    )


def table(
    runs: Sequence[Mapping[str, Any]],
    sets: Mapping[str, Any] = SETS,
    describe: Callable[[Any, Mapping[str, Any]], str] = described,
) -> str:
    """The runs as a Markdown table, and below it what they share. Scores are in hundredths, as GLUE gives them."""
    lines = [
        "| set | score | bertsmith | Trainer | difference ± standard error (95 % interval) | seeds | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    notes = ["scores: mean ± standard deviation over seeds; interval: Welch's t; seconds: of training, the median"]
    for name, this in sets.items():
        ours, theirs = ([run for run in runs if (run["set"], run["tool"]) == (name, tool)] for tool in TOOLS)
        if not ours + theirs:
            continue
        recipe = (ours + theirs)[0]["recipe"]
        if any(run["recipe"] != recipe for run in ours + theirs):
            raise ValueError(f"{name}: these runs were trained in several ways and cannot be compared")
        times = [f"{statistics.median(run['seconds'] for run in part):.1f}" if part else "–" for part in (ours, theirs)]
        for score in this.scores:
            our, their = ([100 * run["scores"][score] for run in part] for part in (ours, theirs))
            cells = [this.title, score, spread(our), spread(their), difference(our, their)]
            lines.append(f"| {' | '.join([*cells, f'{len(our)}, {len(their)}', ', '.join(times)])} |")
        notes.append(describe(this, recipe))
    for run in runs:
        packages = ", ".join(f"{package} {number}" for package, number in run["versions"].items())
        note = f"{run['machine']}; {packages}; encoder {run['recipe']['encoder_sha256'][:12]}"
        notes += [] if note in notes else [note]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes)])


def spread(values: Sequence[float]) -> str:
    """Mean ± standard deviation."""
    if len(values) < 2:
        return f"{values[0]:.2f}" if values else "–"
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"


def difference(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Ours less theirs, with standard error and 95 % interval where there are seeds enough and they differ."""
    if not ours or not theirs:
        return "–"
    mean = statistics.mean(ours) - statistics.mean(theirs)
    if min(len(ours), len(theirs)) < 2 or len({*ours}) == len({*theirs}) == 1:
        return f"{mean:+.2f}"
    from scipy.stats import ttest_ind

    error = math.sqrt(statistics.variance(ours) / len(ours) + statistics.variance(theirs) / len(theirs))
    low, high = ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    return f"{mean:+.2f} ± {error:.2f} ({low:+.2f} to {high:+.2f})"


def command_line(
    description: str | None,
    sets: Mapping[str, Any],
    *,
    name: str,
    left_out: str,
    quick: str,
    more: Callable[[argparse.ArgumentParser], object] | None = None,
) -> argparse.Namespace:
    """The options of a script that trains `sets` and keeps its results in name.json beside it.

    left_out, quick: the sets where none are given, and those of --quick. more: adds the script's own options.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", help=f"of {','.join(sets)}; left out, all but the last")
    parser.add_argument("--tools", default="ours,trainer", help="ours, trainer, or both in turn: ours,trainer")
    parser.add_argument("--seeds", type=int, help="how many: 1, 2, … (3)")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--encoder", default="minilm", help="a folder, or minilm (packaged)")
    parser.add_argument("--data", type=Path, help="the folder of data sets (BERTSMITH_DATA)")
    parser.add_argument("--out", type=Path, help=f"the results ({name}.json beside this script)")
    parser.add_argument(
        "--quick",
        type=int,
        nargs="?",
        const=60,
        metavar="STEPS",
        help=f"{quick}, if --sets is left out; 1 seed, 60 steps",
    )
    parser.add_argument("--table", type=Path, nargs="*", metavar="FILE", help="only print the table of these results")
    if more is not None:
        more(parser)
    options = parser.parse_args()
    options.sets = (options.sets or (quick if options.quick else left_out)).split(",")
    options.tools = options.tools.split(",")
    for given, known in [(given, sets) for given in options.sets] + [(given, TOOLS) for given in options.tools]:
        if given not in known:
            parser.error(f"{given!r} is not one of {', '.join(known)}")
    options.seeds = options.seeds or (1 if options.quick else 3)
    options.out = options.out or (HERE.parent / f"runs/{name}-quick.json" if options.quick else HERE / f"{name}.json")
    options.data = options.data or Path(os.environ.get("BERTSMITH_DATA", HERE.parent.parent / "shared" / "data"))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # for both tools, or other programs slow both down ninefold
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # all is in folders, and a machine without a network will do
    return options


def main() -> None:
    """The command line."""
    options = command_line(__doc__, SETS, name="quality", left_out="cola,mrpc,rte,stsb,sst2_10k", quick="rte,stsb")
    if options.table is None:
        trainers = {"ours": train_ours, "trainer": train_trainer}
        measure(options, prepare, trainers, lambda job, given: scores_of(job.targets(job.dev), given, job.set.scores))
    print(table(read_runs(options.table or [options.out])))


if __name__ == "__main__":
    main()

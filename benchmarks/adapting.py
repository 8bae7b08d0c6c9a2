"""What does adapting an encoder gain, does one learn from nothing, and does it tell good sentences from bad ones?

    python benchmarks/adapting.py --quick                 # a few steps of all, to see that it works
    python benchmarks/adapting.py --parts domain          # masked loss on abstracts of medicine, by what was learned
    python benchmarks/adapting.py --parts task --seeds 3  # tasks with and without adapting to their texts first
    python benchmarks/adapting.py --parts nothing         # a tiny BERT from nothing, beside random weights
    python benchmarks/adapting.py --parts sentences       # are acceptable sentences likelier than unacceptable ones?
    python benchmarks/adapting.py --table                 # the tables of benchmarks/adapting.json

domain: the packaged MiniLM comes without a masked-word head, so its loss before the first step is chance. Four models
tell what a gain is made of: the head alone or head and encoder, learned on general text or on the domain's, as many
tokens and steps of each; all are scored on the same abstracts, which none has seen.
task: `train` with and without `--adapt`, the same seeds, rates and epochs of the task itself.
nothing: BERT-tiny from random weights on all text that is here; masked loss beside the entropy of the unigrams,
next sentences on documents that were held out, then a small task from it and from random weights.
sentences: MiniLM after masked words of English sentences of all sorts; then the pseudo-log-likelihood of CoLA's dev
sentences, of which none was read, acceptable and unacceptable apart.

The folder of data sets is --data, or BERTSMITH_DATA. Results are written after every run; the same command again goes
on where it ended.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import re
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import scipy.stats
import torch

import bertsmith
from bertsmith.checkpoint import load_pretrained, write_pretrained
from bertsmith.corpus.documents import split
from bertsmith.events import Event, Scored
from bertsmith.files import write_text
from bertsmith.pretraining import resolve_corpus
from bertsmith.tasks import task_class

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

HERE = Path(__file__).resolve().parent
HELD_OUT = 100  # abstracts, the last ones
GENERAL, DOMAIN = "general", "medicine"


@dataclass(frozen=True, slots=True)
class TaskSet:
    """A task to adapt to. epochs: of the task."""

    task: str
    train: str
    test: str
    columns: dict[str, str]
    score: str
    epochs: float
    format: str = "auto"
    header: bool | None = None


TASKS = {
    "cola": TaskSet(
        "classify", "cola/in_domain_train.tsv", "cola/in_domain_dev.tsv", {"text": "4", "label": "2"}, "mcc", 2,
        header=False,
    ),
    "rte": TaskSet(
        "classify", "rte/train.tsv", "rte/dev.tsv", {"text": "sentence1", "text_b": "sentence2", "label": "label"},
        "accuracy", 3,
    ),
    "wnut17": TaskSet(
        "tag", "wnut17/wnut17train.conll", "wnut17/emerging.test.annotated", {"words": "1", "tags": "2"}, "f1", 3,
        format="conll",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Runs:
    """The results so far, by their keys, kept in a file."""

    path: Path
    options: argparse.Namespace

    def known(self) -> dict[str, Any]:
        """All results of the file."""
        return json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}

    def make(self, key: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The result of this key: read, or made now and written."""
        key += ", quick" if self.options.quick else ""
        known = self.known()
        if key not in known:
            began = time.perf_counter()
            found = work()
            known = {**self.known(), key: {**found, "seconds": round(time.perf_counter() - began, 1), **machine()}}
            write_text(self.path, json.dumps(known, indent=1, ensure_ascii=False) + "\n")
        print(f"{key}: {json.dumps({k: v for k, v in known[key].items() if k not in machine()})}", flush=True)
        return dict(known[key])


def machine() -> dict[str, Any]:
    """Where a result was made."""
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "threads": torch.get_num_threads(),
        "versions": {"torch": torch.__version__, "bertsmith": bertsmith.__version__},
    }


def general(data: Path) -> Iterator[str]:
    """Articles of Wikipedia, a document each, with what was done to numbers and hyphens undone."""
    for name in ("wiki.valid.tokens", "wiki.test.tokens"):
        article: list[str] = []
        for line in (data / "wikitext2" / name).read_text(encoding="utf-8").splitlines():
            if re.fullmatch(r" = [^=].* = ", line) and article:
                yield "\n".join(article)
                article = []
            elif line.strip() and not line.startswith(" ="):
                article.append(plain(line))
        yield "\n".join(article)


def plain(line: str) -> str:
    """WikiText's line as people write it; rare words, which it left out, become the token for unknown ones."""
    line = re.sub(r" @([-,.])@ ", r"\1", line).replace("<unk>", "[UNK]")
    return re.sub(r" ([,.;:)!?'])", r"\1", line).replace("( ", "(").strip()


def medicine(data: Path) -> list[str]:
    """The abstracts, a document each."""
    text = (data / "pubmed_abstracts" / "abstracts.txt").read_text(encoding="utf-8")
    return [each for each in text.split("\n\n") if each.strip()]


def news(data: Path) -> Iterator[str]:
    """The articles of TIME, in lower case, as they are all capitals."""
    for line in (data / "time_news" / "corpus.jsonl").read_text(encoding="utf-8").splitlines():
        yield str(json.loads(line)["text"]).lower()


def passages(data: Path) -> Iterator[str]:
    """The articles of SQuAD v1.1's dev set."""
    for article in json.loads((data / "squad_v1.1" / "dev-v1.1.json").read_text(encoding="utf-8"))["data"]:
        yield "\n".join(paragraph["context"] for paragraph in article["paragraphs"])


def write(documents: Sequence[str], to: Path) -> Path:
    """A file of plain text, documents apart."""
    to.write_text("\n\n".join(re.sub(r"\n\s*\n", "\n", each.strip()) for each in documents) + "\n", encoding="utf-8")
    return to


def domain(runs: Runs, work: Path) -> None:
    """Four models on the same abstracts: head or all, general text or the domain's."""
    options = runs.options
    abstracts = medicine(options.data)
    train, held = abstracts[:-HELD_OUT], abstracts[-HELD_OUT:]
    held_file = write(held, work / "held.txt")
    characters = sum(map(len, train))
    wiki, taken = list(general(options.data)), 0
    same_size = []
    for article in wiki:
        if taken >= characters:
            break
        same_size.append(article[: characters - taken])
        taken += len(same_size[-1])
    files = {GENERAL: write(same_size, work / "general.txt"), DOMAIN: write(train, work / "medicine.txt")}
    for learned in ("head", "all"):
        for text, file in files.items():
            key = f"domain: {learned} on {text}, {options.epochs:g} epochs"
            runs.make(key, lambda file=file, learned=learned: adapted(file, held_file, learned, options, work))


def adapted(file: Path, held: Path, learned: str, options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """The held-out scores, before and after."""
    values = {
        "corpus": str(file), "held_out": str(held), "encoder": options.encoder, "out": str(work / "adapted"),
        "overwrite": True, "epochs": options.epochs, "max_length": 128, "sentences": "split", "keep": "last",
        "seed": 1, "device": "cpu", **({"freeze": "encoder", "learning_rate": 1e-3} if learned == "head" else {}),
        **({"max_steps": options.quick} if options.quick else {}),
    }  # fmt: skip
    return masked_scores(values)


def masked_scores(values: dict[str, Any]) -> dict[str, Any]:
    """The held-out scores of `adapt` with these settings, before and after."""
    corpus, _, task, settings = resolve_corpus(values, command="adapt")
    curve: list[dict[str, Any]] = []
    made = bertsmith.adapt(corpus, task, settings, listen=lambda event: follow(event, curve))
    assert made.evaluation is not None
    scores = made.evaluation.scores
    return {
        "before": made.before,
        "after": {name: each.value for name, each in scores.values.items()},
        "unigram": {name: each.value for name, each in scores.baseline.items()},
        "steps": made.fit.steps,
        "curve": curve,
    }


def follow(event: Event, curve: list[dict[str, Any]]) -> None:
    """Keep the held-out loss as it falls."""
    if isinstance(event, Scored):
        curve.append({"step": event.step, "loss": round(event.scores["loss"] or 0.0, 4)})


def task(runs: Runs, work: Path) -> None:
    """Tasks with and without adapting to their texts first."""
    options = runs.options
    for name in options.tasks.split(","):
        for seed in range(1, options.seeds + 1):
            for adapt in (False, True):
                kind = f"adapted for {options.adapt_epochs:g} epochs" if adapt else "plain"
                key = f"task: {name}, {kind}, seed {seed}"
                runs.make(
                    key, lambda name=name, adapt=adapt, seed=seed: on_task(TASKS[name], adapt, seed, options, work)
                )


def on_task(
    this: TaskSet, adapt: bool, seed: int, options: argparse.Namespace, work: Path, *, encoder: str | None = None
) -> dict[str, Any]:
    """The score of a task on its test rows, which training does not see."""
    settings = bertsmith.Settings(
        train=options.data / this.train, columns=this.columns, format=this.format, header=this.header,
        encoder=encoder or options.encoder, out=work / "task", overwrite=True, epochs=this.epochs, adapt=adapt,
        max_length=128, dev_fraction=0.0, keep="last", seed=seed, device="cpu",
        max_steps=options.quick or None, **({"adapt_epochs": options.adapt_epochs} if adapt else {}),
    )  # fmt: skip
    run = bertsmith.train(task_class(this.task)(), settings)
    reading = bertsmith.config.ReadOptions(format=this.format, header=this.header)
    found = bertsmith.evaluate(run.folder, options.data / this.test, columns=this.columns, reading=reading, resamples=0)
    return {"score": found.scores.values[this.score].value, "of": this.score, "steps": run.fit.steps}


def nothing(runs: Runs, work: Path) -> None:
    """A tiny BERT from nothing, then a small task from it and from random weights of the same shape."""
    options = runs.options
    data = options.data
    documents = [*general(data), *medicine(data), *news(data), *passages(data)]
    file, out = write(documents, work / "all.txt"), runs.path.with_name("tiny-bert")

    def pretrained() -> dict[str, Any]:
        values = {
            "corpus": str(file), "size": "tiny", "out": str(out), "overwrite": True, "epochs": options.tiny_epochs,
            "max_length": 128, "vocabulary_size": 10_000, "sentences": "split", "learning_rate": 1e-3, "device": "cpu",
            **({"max_steps": options.quick} if options.quick else {}),
        }  # fmt: skip
        corpus, new, of, settings = resolve_corpus(values, command="pretrain")
        curve: list[dict[str, Any]] = []
        made = bertsmith.pretrain(corpus, new, of, settings, listen=lambda event: follow(event, curve))
        assert made.evaluation is not None
        scores = made.evaluation.scores
        return {
            "documents": len(documents),
            "before": made.before,
            "after": {name: each.value for name, each in scores.values.items()},
            "interval of next_accuracy": [scores.values["next_accuracy"].low, scores.values["next_accuracy"].high],
            "unigram": {name: each.value for name, each in scores.baseline.items()},
            "steps": made.fit.steps,
            "curve": curve,
        }

    runs.make(f"nothing: tiny BERT, {options.tiny_epochs:g} epochs", pretrained)
    if not out.is_dir():
        raise SystemExit(f"{out}: missing, although its result is there; take that out of {runs.path} to make it again")
    random_start = work / "random"
    start = load_pretrained(out)
    start.encoder.initialize(torch.Generator().manual_seed(1))
    write_pretrained(random_start, start.encoder, start.family, start.tokenizer)
    small = TaskSet(
        "classify", "sms_spam/SMSSpamCollection.tsv", "", {"text": "2", "label": "1"}, "mcc", 3, header=False
    )
    rows = (data / small.train).read_text(encoding="utf-8").splitlines(keepends=True)
    (work / "spam").mkdir(exist_ok=True)
    write_text(work / "spam" / "train.tsv", "".join(row for number, row in enumerate(rows) if number % 10 == 0))
    write_text(work / "spam" / "test.tsv", "".join(row for number, row in enumerate(rows) if number % 10 in (5, 6, 7)))
    sets = {
        "cola": TASKS["cola"],
        "spam, a tenth": TaskSet(
            "classify", str(work / "spam" / "train.tsv"), str(work / "spam" / "test.tsv"), small.columns, "mcc", 5,
            header=False,
        ),
    }  # fmt: skip
    for name, this in sets.items():
        for seed in range(1, options.seeds + 1):
            for kind, encoder in (("pretrained", out), ("random", random_start)):
                key = f"nothing: {name} from {kind}, seed {seed}"
                runs.make(
                    key,
                    lambda this=this, encoder=encoder, seed=seed: on_task(
                        this, False, seed, options, work, encoder=str(encoder)
                    ),
                )


def english(data: Path) -> Iterator[str]:
    """Texts of all sorts, of which none is CoLA's: Wikipedia, books, news, captions, what people write on the web."""
    yield from general(data)
    yield from passages(data)
    for name, columns, skipped in (
        ("multi30k/train.en", (0,), 0), ("pan_paraphrase/pan-train_s1.txt", (0,), 0),
        ("mrpc/msr_paraphrase_train.txt", (3, 4), 1), ("ag_news/train_sample_10k.tsv", (-1,), 1),
    ):  # fmt: skip
        for line in (data / name).read_text(encoding="utf-8").splitlines()[skipped:]:
            yield from (line.split("\t")[column] for column in columns)
    with (data / "stsb" / "stsb-en-train.csv").open(encoding="utf-8", newline="") as file:
        yield from (text for row in csv.reader(file) for text in row[:2])
    for line in (data / "ud_english_ewt" / "en_ewt-ud-train.conllu").read_text(encoding="utf-8").splitlines():
        if line.startswith("# text = "):
            yield line.removeprefix("# text = ")


def sentences(runs: Runs, work: Path) -> None:
    """Whether acceptable sentences are likelier than unacceptable ones."""
    options = runs.options
    epochs = f"{options.sentence_epochs:g} epochs"
    out = runs.path.parent / "runs" / f"sentences, {epochs}{', quick' if options.quick else ''}"
    out.parent.mkdir(exist_ok=True)

    def learned() -> dict[str, Any]:
        found = dict.fromkeys(
            sentence
            for text in english(options.data)
            for line in text.split("\n")
            for sentence in split(line, language="en")
        )
        values = {
            "corpus": str(write(list(found), work / "sentences.txt")), "encoder": options.encoder, "out": str(out),
            "overwrite": True, "epochs": options.sentence_epochs, "batch_size": 128, "max_length": 128,
            "sentences": "lines", "packing": "documents", "dev_fraction": 0.01, "keep": "last", "seed": 1,
            "device": "cpu", **({"max_steps": options.quick} if options.quick else {}),
        }  # fmt: skip
        return {"sentences": len(found), **masked_scores(values)}

    runs.make(f"sentences: MiniLM, {epochs}", learned)
    if not out.is_dir():
        raise SystemExit(f"{out}: missing, although its result is there; take that out of {runs.path} to make it again")

    def scored() -> dict[str, Any]:
        this = TASKS["cola"]
        rows = [
            line.split("\t")
            for name in (this.test, this.test.replace("in_domain", "out_of_domain"))
            for line in (options.data / name).read_text(encoding="utf-8").splitlines()[: 40 if options.quick else None]
        ]
        texts = [row[int(this.columns["text"]) - 1] for row in rows]
        acceptable = [row[int(this.columns["label"]) - 1] == "1" for row in rows]
        found = bertsmith.pseudo_log_likelihood(bertsmith.load(out, device="cpu"), texts)
        return {
            "a sentence": apart([each.log_likelihood for each in found], acceptable),
            "a piece": apart([each.per_piece for each in found], acceptable),
        }

    runs.make(f"sentences: likelihood of CoLA's, {epochs}", scored)


def apart(numbers: Sequence[float], good: Sequence[bool]) -> dict[str, Any]:
    """Means of the good and of the others, Welch's p, and how often a good one is above another (area under the
    curve)."""
    above = [number for number, is_good in zip(numbers, good, strict=True) if is_good]
    below = [number for number, is_good in zip(numbers, good, strict=True) if not is_good]
    return {
        "acceptable": [len(above), round(statistics.mean(above), 3)],
        "unacceptable": [len(below), round(statistics.mean(below), 3)],
        "p": float(scipy.stats.ttest_ind(above, below, equal_var=False).pvalue),
        "area": round(float(scipy.stats.mannwhitneyu(above, below).statistic) / (len(above) * len(below)), 4),
    }


def table(runs: Runs) -> None:
    """The results, in short."""
    known = runs.known()
    print("| model | held-out loss | perplexity | accuracy |\n| --- | --- | --- | --- |")
    for key, found in known.items():
        if "after" in found:
            after = found["after"]
            print(f"| {key} | {after['loss']:.3f} | {after['perplexity']:.1f} | {after['masked_accuracy']:.3f} |")
            if "next_accuracy" in after:
                low, high = found["interval of next_accuracy"]
                print(f"| – next sentences | {after['next_accuracy']:.3f} ({low:.3f} to {high:.3f}) | | |")
                print(f"| – unigrams alone | {found['unigram']['loss']:.3f} | {found['unigram']['perplexity']:.1f} | |")
    print("\n| likelihood | of the acceptable | of the unacceptable | p | area under the curve |")
    print("| --- | --- | --- | --- | --- |")
    for key, found in known.items():
        for name in ("a sentence", "a piece"):
            if name in found:
                each = found[name]
                means = f"{each['acceptable'][1]} | {each['unacceptable'][1]}"
                print(f"| {key}, {name} | {means} | {each['p']:.2g} | {each['area']:.3f} |")
    groups: dict[str, list[float]] = {}
    for key, found in known.items():
        if "score" in found:
            groups.setdefault(re.sub(r", seed \d+", "", key), []).append(100 * found["score"])
    print("\n| run | mean ± standard deviation | seeds |\n| --- | --- | --- |")
    for name, scores in groups.items():
        spread = f" ± {statistics.stdev(scores):.2f}" if len(scores) > 1 else ""
        print(f"| {name} | {statistics.mean(scores):.2f}{spread} | {len(scores)} |")


PARTS: dict[str, Callable[[Runs, Path], None]] = {
    "domain": domain,
    "task": task,
    "nothing": nothing,
    "sentences": sentences,
}


def main() -> None:
    """Run the parts that are asked for."""
    options = command_line()
    runs = Runs(options.out, options)
    if options.table:
        table(runs)
        return
    for name in options.parts.split(","):
        with tempfile.TemporaryDirectory() as work:
            PARTS[name](runs, Path(work))
    table(runs)


def command_line() -> argparse.Namespace:
    """The options."""
    summary, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=more, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument("--tasks", default=",".join(TASKS), help=f"of {','.join(TASKS)}")
    parser.add_argument("--seeds", type=int, default=3, help="how many: 1, 2, … (3)")
    parser.add_argument("--epochs", type=float, default=10, help="of the domain's corpus (10)")
    parser.add_argument("--adapt-epochs", type=float, default=10, help="of a task's texts (10)")
    parser.add_argument("--tiny-epochs", type=float, default=10, help="of the tiny BERT's corpus (10)")
    parser.add_argument("--sentence-epochs", type=float, default=2, help="of the sentences (2)")
    parser.add_argument("--encoder", default="minilm", help="a folder, or minilm (packaged)")
    parser.add_argument("--data", type=Path, default=os.environ.get("BERTSMITH_DATA"), help="the folder of data sets")
    parser.add_argument("--out", type=Path, default=HERE / "adapting.json", help="the results")
    parser.add_argument("--quick", type=int, nargs="?", const=3, default=0, metavar="STEPS", help="so many steps alone")
    parser.add_argument("--table", action="store_true", help="only print the tables of the results")
    options = parser.parse_args()
    if not options.table and options.data is None:
        parser.error("give the folder of data sets: --data, or BERTSMITH_DATA")
    return options


if __name__ == "__main__":
    main()

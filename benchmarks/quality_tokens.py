"""Does bertsmith tag words and answer questions as well as the reference implementation? The same with both tools.

    python benchmarks/quality_tokens.py --quick                      # 60 steps of two sets, to see that it works
    python benchmarks/quality_tokens.py --seeds 3                    # all sets but the last, ours and theirs in turn
    python benchmarks/quality_tokens.py --sets squad11 --sample 0    # all questions, scored on all of SQuAD v1.1's dev
    python benchmarks/quality_tokens.py --sets squad2 --sample 0 --precision bf16 --grouped  # learns "no answer", too
    python benchmarks/quality_tokens.py --table mine.json theirs.json

ours: `bertsmith.train` and `bertsmith.evaluate` on the files. trainer: Hugging Face's `Trainer` on the rows that
bertsmith read, in the manner of its examples run_ner.py and run_qa.py. Both start from the same encoder and take the
same number of steps at the same rates; neither sees test before it has ended; both are scored by the same lines of this
file, which also choose the threshold of "no answer" for both.

It needs what quality.py needs, and has its options; results are written after every run, and the same command again
goes on where it ended.
"""

from __future__ import annotations

import json
import math
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from quality import (
    BATCH,
    CLIP,
    EPSILON,
    WARMUP,
    WEIGHT_DECAY,
    command_line,
    measure,
    read_runs,
    table,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

# run_qa.py's defaults, but for the 20 best starts and ends, which are --n_best_size's.
OVERLAP, MAX_ANSWER_TOKENS, N_BEST = 128, 30, 20
SAMPLE = 4000
GROUPED = 50  # batches that exchange rows, as Trainer's group_by_length has it
TEST_SHARE, TUNE_SHARE = 0.3, 0.1


@dataclass(frozen=True, slots=True)
class Set:
    """A data set. Where train and test are one file, its articles are split; see `split_by_article`.

    tokens: the most of a sentence, or of a window. options: of bertsmith's task.
    """

    title: str
    task: str
    train: str
    test: str
    format: str
    columns: Mapping[str, str]
    scores: tuple[str, ...]
    epochs: int
    tokens: int
    options: Mapping[str, Any] = field(default_factory=dict)
    learning_rate: float = 1e-4

    @property
    def by_article(self) -> bool:
        return self.train == self.test


# Epochs are short on purpose, and the rate is quality.py's: enough to compare two tools on a processor. No sentence of
# EWT and WNUT-17 has more than 256 pieces, so none is cut or read in windows.
TAG: Mapping[str, Any] = {"task": "tag", "tokens": 256}
ANSWER: Mapping[str, Any] = {
    "task": "answer", "tokens": 384, "format": "squad", "epochs": 1,
    "columns": {"question": "question", "passage": "context", "answers": "answers", "id": "id"},
    "options": {"overlap": OVERLAP, "max_answer_tokens": MAX_ANSWER_TOKENS},
}  # fmt: skip
NEW_WIKI, SQUAD2 = "squadshifts_new_wiki/new_wiki_v1.0.json", "squad_v2.0/dev-v2.0.json"
SETS = {
    "ewt": Set(
        "EWT, parts of speech", train="ud_english_ewt/en_ewt-ud-train.conllu",
        test="ud_english_ewt/en_ewt-ud-dev.conllu", format="conllu", columns={"words": "form", "tags": "upos"},
        scores=("accuracy",), epochs=1, **TAG,
    ),
    "wnut17": Set(
        "WNUT-17, entities", train="wnut17/wnut17train.conll", test="wnut17/emerging.test.annotated", format="conll",
        columns={"words": "1", "tags": "2"}, scores=("F1",), epochs=3, **TAG,
    ),
    "xquad": Set(
        "XQuAD (en), trained on SQuADShifts", train=NEW_WIKI, test="xquad_en/xquad.en.json", scores=("F1", "EM"),
        **ANSWER,
    ),
    "squad2": Set(
        "SQuAD v2.0's dev, by article", train=SQUAD2, test=SQUAD2, scores=("F1", "EM", "F1 of answerable"),
        learning_rate=3e-4,  # the upper end, and twice: less answers every question with "none"
        **{**ANSWER, "epochs": 2, "columns": {**ANSWER["columns"], "is_impossible": "is_impossible"}},
    ),
    "squad11": Set(
        "SQuAD v1.1's dev, trained on SQuADShifts", train=NEW_WIKI, test="squad_v1.1/dev-v1.1.json",
        scores=("F1", "EM"), **ANSWER,
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Job:
    """A set, read and ready for either tool.

    files, rows, examples, pieces: of ``train``, of ``test`` and, where a threshold is tuned, of ``tune``. rows: the
    values of the inputs by name. pieces: the ids of bertsmith's sequences, which the reference's must equal.
    encoder: its folder. recipe: what runs must share to be compared.
    """

    set: Set
    encoder: Path
    files: Mapping[str, Path]
    rows: Mapping[str, Sequence[Mapping[str, Any]]]
    examples: Mapping[str, Sequence[Any]]
    pieces: Mapping[str, Sequence[Sequence[int]]]
    steps: int
    recipe: Mapping[str, Any]

    @property
    def scored(self) -> list[str]:
        """The parts that a trained model answers."""
        return [part for part in self.files if part != "train"]


@dataclass(frozen=True, slots=True)
class Guess:
    """The best span of a passage, and by how much the score of no answer is above that of the span."""

    text: str
    margin: float


Given = dict[str, list[Any]]  # by part, for every row: the tags of its words, or a guess


def prepare(name: str, options: argparse.Namespace, work: Path) -> Job:
    """Read a set with bertsmith's readers, and see that no row is cut and no passage is on both sides."""
    from bertsmith.checkpoint import find
    from bertsmith.data import ReadOptions, open_rows
    from bertsmith.files import sha256
    from bertsmith.tasks import task_class
    from bertsmith.tokenizer import Tokenizer

    this = SETS[name]
    if this.by_article:
        files = split_by_article(options.data / this.test, work / name)
    else:
        files = {"train": options.data / this.train, "test": options.data / this.test}
    of = None
    if this.task == "answer" and options.sample:
        files["train"], of = sampled(files["train"], work / f"{name}-sample.json", options.sample)
    task, folder = task_class(this.task)(**this.options), find(options.encoder).folder
    tokenizer = Tokenizer.from_folder(folder)
    rows, examples, encoded = {}, {}, {}
    for part, file in files.items():
        read = open_rows(file, task.wanted_inputs(), columns=this.columns, options=ReadOptions(format=this.format))
        examples[part] = [task.read(row) for row in read]
        rows[part] = [row.values for row in read]
        encoded[part] = task.encode(examples[part], tokenizer, max_length=this.tokens)
        assert not any(each.cut for sequences in encoded[part] for each in sequences), f"{file}: some are cut"
    pieces = {part: [each.ids for sequences in encoded[part] for each in sequences] for part in files}
    if this.task == "tag":
        assert all(len(pieces[part]) == len(rows[part]) for part in files), f"some are longer than {this.tokens} pieces"
    else:
        seen = {part: {" ".join(row["passage"].split()) for row in rows[part]} for part in files}
        both = [pair for pair in seen if pair != "train" and seen[pair] & seen["train"]]
        assert not both, f"{name}: train and {both} share passages"
    steps = min(this.epochs * math.ceil(len(rows["train"]) / BATCH), options.quick or sys.maxsize)
    recipe = {
        "steps": steps, "learning_rate": this.learning_rate, "rows": {part: len(rows[part]) for part in files},
        "sampled_from": of, "sequences": {part: len(pieces[part]) for part in files}, "tokens": this.tokens,
        "encoder_sha256": sha256(folder / "model.safetensors"),
    }  # fmt: skip
    recipe |= {"precision": options.precision} if options.precision else {}
    if options.precision == "bf16":
        recipe["attention"] = "eager"  # of the reference on a processor, where the other is slow in bfloat16
    recipe |= {"grouped": True} if options.grouped else {}
    print(f"{name} = {described(this, recipe)}", flush=True)
    return Job(this, folder, files, rows, examples, pieces, steps, recipe)


def split_by_article(file: Path, to: Path) -> dict[str, Path]:
    """Files of train, tune and test, articles drawn at random, always the same ones."""
    articles = json.loads(file.read_text(encoding="utf-8"))["data"]
    random.Random(1).shuffle(articles)
    test = max(1, round(TEST_SHARE * len(articles)))
    tune = test + max(1, round(TUNE_SHARE * len(articles)))
    parts = {"train": articles[tune:], "tune": articles[test:tune], "test": articles[:test]}
    return {part: write_squad(some, to.with_name(f"{to.name}-{part}.json")) for part, some in parts.items()}


def sampled(file: Path, to: Path, count: int) -> tuple[Path, int | None]:
    """A file with so many of the questions, always the same ones, and of how many; the file itself if it has fewer."""
    articles = json.loads(file.read_text(encoding="utf-8"))["data"]
    holders = [paragraph for article in articles for paragraph in article["paragraphs"]]
    every = [(number, question) for number, holder in enumerate(holders) for question in holder["qas"]]
    if len(every) <= count:
        return file, None
    chosen = sorted(random.Random(1).sample(range(len(every)), count))
    kept: dict[int, list[Any]] = {}
    for number, question in (every[index] for index in chosen):
        kept.setdefault(number, []).append(question)
    paragraphs = [{**holders[number], "qas": questions} for number, questions in kept.items()]
    return write_squad([{"title": "a sample", "paragraphs": paragraphs}], to), len(every)


def write_squad(articles: Sequence[Any], to: Path) -> Path:
    to.write_text(json.dumps({"data": articles}), encoding="utf-8")
    return to


def train_ours(job: Job, seed: int, device: str, work: Path) -> tuple[Given, float]:
    """What bertsmith's model answers, and the seconds that all its steps took."""
    import bertsmith
    from bertsmith.data import ReadOptions
    from bertsmith.events import Began, Ended
    from bertsmith.tasks import task_class

    at: dict[type, float] = {}
    run = bertsmith.train(
        task_class(job.set.task)(**job.set.options),
        bertsmith.Settings(
            train=job.files["train"], columns=dict(job.set.columns), format=job.set.format, dev_fraction=0, keep="last",
            out=work / "ours", overwrite=True, encoder=str(job.encoder), max_steps=job.steps, batch_size=BATCH,
            max_length=job.set.tokens, learning_rate=job.set.learning_rate, schedule="linear", warmup=WARMUP,
            weight_decay=WEIGHT_DECAY, adam_epsilon=EPSILON, clip=CLIP, seed=seed, device=device,
            precision=job.recipe.get("precision", "auto"), group_window=GROUPED if job.recipe.get("grouped") else 0,
        ),
        listen=lambda event: at.update({type(event): time.perf_counter()}),
    )  # fmt: skip
    assert run.fit.steps == job.steps, (run.fit.steps, job.steps)
    model, reading = bertsmith.load(run.folder, device=device), ReadOptions(format=job.set.format)
    given: Given = {}
    for part in job.scored:
        found = bertsmith.evaluate(model, job.files[part], columns=job.set.columns, reading=reading, resamples=0)
        if job.set.task == "tag":
            given[part] = [list(answer.tags) for answer in found.predictions]
        else:
            given[part] = [Guess(each.candidates[0].text, each.margin) for each in found.predictions]
    return given, at[Ended] - at[Began]


def train_trainer(job: Job, seed: int, device: str, work: Path) -> tuple[Given, float]:
    """The same of `Trainer`; the seconds are its own ``train_runtime``."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    tokenizer = transformers.AutoTokenizer.from_pretrained(job.encoder)
    form = (Sentences if job.set.task == "tag" else Questions)(job, tokenizer)
    train = form.encoded("train")
    transformers.set_seed(seed)  # before the model is made: its last layer starts at random
    auto, config = form.model()
    # weights kept in half precision would be trained in it
    attention = {"attn_implementation": job.recipe["attention"]} if "attention" in job.recipe else {}
    model = auto.from_pretrained(job.encoder, dtype=torch.float32, **attention, **config)
    arguments = transformers.TrainingArguments(
        output_dir=str(work / "trainer"), max_steps=job.steps, per_device_train_batch_size=BATCH,
        per_device_eval_batch_size=64, learning_rate=job.set.learning_rate, lr_scheduler_type="linear",
        warmup_steps=int(WARMUP * job.steps), weight_decay=WEIGHT_DECAY, adam_epsilon=EPSILON, max_grad_norm=CLIP,
        seed=seed, use_cpu=device == "cpu", report_to=[], save_strategy="no", logging_strategy="no", disable_tqdm=True,
        bf16=job.recipe.get("precision") == "bf16",
        train_sampling_strategy="group_by_length" if job.recipe.get("grouped") else "random",
    )  # fmt: skip
    assert arguments.n_gpu <= 1, "Trainer would multiply the batch by the GPUs; show it one with CUDA_VISIBLE_DEVICES"
    trainer = transformers.Trainer(model, arguments, form.collator(), train_dataset=train)
    trainer.remove_callback(transformers.PrinterCallback)
    result = trainer.train()
    assert result.global_step == job.steps, (result.global_step, job.steps)
    trainer.args.train_sampling_strategy = "random"  # which predict goes by, too, and then keeps the order
    given = {part: form.answers(part, trainer.predict(form.encoded(part))) for part in job.scored}
    return given, result.metrics["train_runtime"]


class Sentences:
    """Tagging as run_ner.py does it: a word's first piece has its tag, its other pieces are not learned."""

    def __init__(self, job: Job, tokenizer: Any) -> None:
        self.job, self.tokenizer = job, tokenizer
        self.tags = sorted({tag for row in job.rows["train"] for tag in row["tags"]})
        self.places: dict[str, list[list[tuple[int, int]]]] = {}

    def model(self) -> tuple[Any, dict[str, Any]]:
        from transformers import AutoModelForTokenClassification

        return AutoModelForTokenClassification, {"num_labels": len(self.tags)}

    def collator(self) -> Any:
        from transformers import DataCollatorForTokenClassification

        return DataCollatorForTokenClassification(self.tokenizer)

    def encoded(self, part: str) -> list[dict[str, Any]]:
        """The sentences, each cut at the limit; which words stand where is kept in `places`."""
        rows, number = self.job.rows[part], {tag: number for number, tag in enumerate(self.tags)}
        columns = self.tokenizer(
            [list(row["words"]) for row in rows], is_split_into_words=True, truncation=True,
            max_length=self.job.set.tokens,
        )  # fmt: skip
        labels: list[list[int]] = []
        self.places[part] = []
        for index, row in enumerate(rows):
            words = columns.word_ids(index)
            first = {word: place for place, word in reversed([*enumerate(words)]) if word is not None}
            labels.append([-100] * len(words))
            for word, place in first.items():
                labels[-1][place] = number[row["tags"][word]]
            self.places[part].append(sorted(first.items()))
        check_pieces(columns["input_ids"], self.job.pieces[part])
        return rows_of({**columns, "labels": labels})

    def answers(self, part: str, found: Any) -> list[list[str]]:
        """A tag for every word; the commonest one for a word without a piece, which no tool can read."""
        rows = self.job.rows[part]
        ((commonest, _),) = Counter(tag for row in self.job.rows["train"] for tag in row["tags"]).most_common(1)
        answers = []
        for index, (row, places) in enumerate(zip(rows, self.places[part], strict=True)):
            answer = [commonest] * len(row["words"])
            for word, place in places:
                assert self.tags[found.label_ids[index, place]] == row["tags"][word], "Trainer gave another order"
                answer[word] = self.tags[found.predictions[index, place].argmax()]
            answers.append(answer)
        return answers


class Questions:
    """Question answering as run_qa.py does it: overlapping windows, and [CLS] is the answer of those without it."""

    def __init__(self, job: Job, tokenizer: Any) -> None:
        self.job, self.tokenizer = job, tokenizer
        self.windows: dict[str, list[Window]] = {}

    def model(self) -> tuple[Any, dict[str, Any]]:
        from transformers import AutoModelForQuestionAnswering

        return AutoModelForQuestionAnswering, {}

    def collator(self) -> Any:
        from transformers import DataCollatorWithPadding

        return DataCollatorWithPadding(self.tokenizer)

    def encoded(self, part: str) -> list[dict[str, Any]]:
        """The windows of all questions; what is to be known of them afterwards is kept in `windows`."""
        import numpy as np

        examples = self.job.examples[part]
        columns = self.tokenizer(
            [example.question for example in examples], [example.passage for example in examples],
            truncation="only_second", max_length=self.job.set.tokens, stride=OVERLAP, return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )  # fmt: skip
        owners, offsets = columns.pop("overflow_to_sample_mapping"), columns.pop("offset_mapping")
        windows = []
        for index, (owner, spans) in enumerate(zip(owners, offsets, strict=True)):
            body = [place for place, sequence in enumerate(columns.sequence_ids(index)) if sequence == 1]
            spans_L2 = np.array(spans)
            start, end = target(examples[owner].target, spans_L2, body[0], body[-1] + 1)
            windows.append(Window(owner, spans_L2, body[0], body[-1] + 1, start, end))
        self.windows[part] = windows
        check_pieces(columns["input_ids"], self.job.pieces[part])
        columns["start_positions"] = [window.start for window in windows]
        columns["end_positions"] = [window.end for window in windows]
        return rows_of(columns)

    def answers(self, part: str, found: Any) -> list[Guess]:
        """The best span of all windows of a question; the score of no answer is the lowest of theirs."""
        examples, windows = self.job.examples[part], self.windows[part]
        for name, order in (("start", found.label_ids[0]), ("end", found.label_ids[1])):
            assert [getattr(window, name) for window in windows] == order.tolist(), "Trainer gave another order"
        best = [(-math.inf, "")] * len(examples)
        null = [math.inf] * len(examples)
        for window, start_L, end_L in zip(windows, *found.predictions, strict=True):
            score, first, last = best_span(start_L[: len(window.spans)], end_L[: len(window.spans)], window)
            text = examples[window.owner].passage[window.spans[first, 0] : window.spans[last, 1]]
            best[window.owner] = max(best[window.owner], (score, text), key=lambda pair: pair[0])
            null[window.owner] = min(null[window.owner], float(start_L[0] + end_L[0]))
        # a question without one legal span among the best starts and ends: run_qa.py then answers so
        best = [(score, text) if score > -math.inf else (0.0, "empty") for score, text in best]
        return [Guess(text, other - score) for (score, text), other in zip(best, null, strict=True)]


@dataclass(frozen=True, slots=True)
class Window:
    """A window of a question's passage, whose pieces are at [first, stop). start, end: of its answer, both included."""

    owner: int
    spans: NDArray[np.int64]
    first: int
    stop: int
    start: int
    end: int


def target(golds: Sequence[Any], spans_L2: NDArray[np.int64], first: int, stop: int) -> tuple[int, int]:
    """The first and last piece of the first right answer; (0, 0), which is [CLS], where it is not in [first, stop)."""
    import numpy as np

    inside_N2 = spans_L2[first:stop]
    if not golds or golds[0].start < inside_N2[0, 0] or golds[0].stop > inside_N2[-1, 1]:
        return 0, 0
    start = np.searchsorted(inside_N2[:, 0], golds[0].start, side="right") - 1
    end = np.searchsorted(inside_N2[:, 1], golds[0].stop, side="left")
    return first + int(start), first + int(end)


def best_span(start_L: NDArray[Any], end_L: NDArray[Any], window: Window) -> tuple[float, int, int]:
    """The best sum of one of the best starts and one of the best ends, with both, where they make a legal span."""
    import numpy as np

    starts, ends = (np.argsort(-scores, kind="stable")[:N_BEST] for scores in (start_L, end_L))
    length_SE = ends[None] - starts[:, None] + 1
    inside_SE = (starts[:, None] >= window.first) & (ends[None] < window.stop)
    legal_SE = inside_SE & (length_SE >= 1) & (length_SE <= MAX_ANSWER_TOKENS)
    score_SE = np.where(legal_SE, start_L[starts][:, None] + end_L[ends][None], -np.inf)
    start, end = np.unravel_index(score_SE.argmax(), score_SE.shape)
    return float(score_SE[start, end]), int(starts[start]), int(ends[end])


def check_pieces(theirs: Sequence[Sequence[int]], ours: Sequence[Sequence[int]]) -> None:
    """Both tools shall read the same pieces."""
    assert len(theirs) == len(ours), f"the reference has {len(theirs)} sequences, bertsmith {len(ours)}"
    for number, (their, our) in enumerate(zip(theirs, ours, strict=True)):
        assert list(their) == list(our), f"sequence {number} differs: {list(their)} and {list(our)}"


def rows_of(columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def scores_of(job: Job, given: Given) -> dict[str, float]:
    """The scores of the test rows by name."""
    if job.set.task == "tag":
        return tag_scores([list(row["tags"]) for row in job.rows["test"]], given["test"], job.set.scores)
    golds = {part: [[gold.text for gold in each.target] for each in job.examples[part]] for part in job.scored}
    if "tune" not in job.files:
        return answer_scores(golds["test"], [guess.text for guess in given["test"]], job.set.scores)
    threshold = best_threshold(golds["tune"], given["tune"])
    texts = [guess.text if guess.margin <= threshold else "" for guess in given["test"]]
    return answer_scores(golds["test"], texts, job.set.scores)


def tag_scores(truth: Sequence[list[str]], given: Sequence[list[str]], names: Sequence[str]) -> dict[str, float]:
    """The accuracy of words; F1 of whole entities, in seqeval's strict mode."""
    from seqeval.metrics import f1_score
    from seqeval.scheme import IOB2
    from sklearn.metrics import accuracy_score

    assert [len(tags) for tags in truth] == [len(tags) for tags in given], "a word has no tag"
    ways: dict[str, Callable[[], Any]] = {
        "accuracy": lambda: accuracy_score(
            [tag for tags in truth for tag in tags], [tag for tags in given for tag in tags]
        ),
        "F1": lambda: f1_score(truth, given, mode="strict", scheme=IOB2, zero_division=0),
    }
    return {name: float(ways[name]()) for name in names}


def answer_scores(golds: Sequence[Sequence[str]], texts: Sequence[str], names: Sequence[str]) -> dict[str, float]:
    """Exact match and F1 as SQuAD's official scripts define them, those of v2.0 where a question has no answer."""
    from bertsmith import squad_scores as squad

    mixed = not all(golds)
    pairs = [*zip(texts, golds, strict=True)]
    ways: dict[str, tuple[Callable[[str, str], float], list[Any]]] = {
        "F1": (squad.f1, pairs),
        "EM": (squad.exact_match, pairs),
        "F1 of answerable": (squad.f1, [(text, some) for text, some in pairs if some]),
    }
    scores = {}
    for name in names:
        way, of = ways[name]
        scores[name] = sum(squad.best(way, text, some, unanswerable=mixed) for text, some in of) / len(of)
    return scores


def best_threshold(golds: Sequence[Sequence[str]], guesses: Sequence[Guess]) -> float:
    """The margin above which no answer is given, with the best F1 on these rows; of several the lowest."""
    from bertsmith import squad_scores as squad

    order = sorted(range(len(guesses)), key=lambda row: guesses[row].margin)
    total, best, threshold = 0.0, 0.0, -math.inf  # to answer none is where it begins
    for number, row in enumerate(order):
        with_text, without = (
            squad.best(squad.f1, text, golds[row], unanswerable=True) for text in (guesses[row].text, "")
        )
        total += with_text - without
        last_of_its_margin = number + 1 == len(order) or guesses[order[number + 1]].margin > guesses[row].margin
        if last_of_its_margin and total > best:
            best, threshold = total, guesses[row].margin
    return threshold


def described(this: Set, recipe: Mapping[str, Any]) -> str:
    """What the runs of a set share."""
    rows, many, of = recipe["rows"], recipe["sequences"], recipe["sampled_from"]
    what, remarks = "sentences" if this.task == "tag" else "questions", []
    if of is not None:
        what, remarks = f"of {of:,} {what}", ["a sample"]
    if this.task == "answer":
        remarks.append(f"{many['train']:,} windows of at most {recipe['tokens']} tokens")
    remark = f" ({'; '.join(remarks)})" if remarks else ""
    parts = [f"{rows['train']:,} {what} to train on{remark}"]
    parts += [f"{rows['tune']:,} to tune the threshold on"] if "tune" in rows else []
    parts += [f"{rows['test']:,} to score", f"{recipe['steps']:,} steps", f"rate {recipe['learning_rate']:g}"]
    parts += [f"both in {recipe['precision']}"] if "precision" in recipe else []
    parts += ["like lengths together"] if "grouped" in recipe else []
    return f"{this.title}: {', '.join(parts)}"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sample", type=int, default=SAMPLE, metavar="N", help=f"of questions to train on; 0 for all ({SAMPLE})"
    )
    parser.add_argument(
        "--precision", choices=["fp32", "bf16"], help="of both tools' products (each tool's own choice)"
    )
    parser.add_argument(
        "--grouped",
        action="store_true",
        help=f"batches of like lengths, as each tool makes them, out of up to {GROUPED}",
    )


def main() -> None:
    """The command line."""
    options = command_line(
        __doc__, SETS, name="quality_tokens", left_out="ewt,wnut17,xquad,squad2", quick="wnut17,xquad", more=add_options
    )
    if options.table is None:
        trainers = {"ours": train_ours, "trainer": train_trainer}
        measure(options, prepare, trainers, scores_of, packages=("seqeval",))
    print(table(read_runs(options.table or [options.out]), SETS, described))


if __name__ == "__main__":
    main()

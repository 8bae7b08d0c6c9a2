"""Adapting an encoder to a corpus, and pretraining one from nothing: masked words and next sentences.

corpus ─documents▶ store of pieces ─rows▶ masks, anew in every epoch ─loop▶ a folder to train on from
"""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from bertsmith.batching import mixed_seed
from bertsmith.bundle import Bundle
from bertsmith.checkpoint import Source, load_pretrained, read_json, sequence_limit, write_pretrained
from bertsmith.config import Settings, read_toml, toml_of
from bertsmith.corpus.documents import LANGUAGES, Documents, open_documents
from bertsmith.corpus.packed import CorpusRows, PackedRows
from bertsmith.corpus.pairs import PairRows, several_of
from bertsmith.corpus.settings import PRESETS, CorpusSettings, NewEncoder
from bertsmith.corpus.store import Store, split
from bertsmith.corpus.vocabulary import train_wordpiece
from bertsmith.errors import BundleError, SettingsError, TrainingError, listed, nearest
from bertsmith.events import Listener, Said, nobody
from bertsmith.families import family_of
from bertsmith.families.bert import SIZES
from bertsmith.files import sha256, write_text
from bertsmith.infer.engine import pick_device
from bertsmith.nn.encoder import Encoder
from bertsmith.records import IS_NEXT
from bertsmith.sequences import Sequences
from bertsmith.strict import checked
from bertsmith.tasks._masking import balanced
from bertsmith.tasks._masks import NoMaskTokenError
from bertsmith.tasks.mlm import Mlm, Passage
from bertsmith.tasks.nsp import Neighbours, Nsp
from bertsmith.tokenizer import Tokenizer
from bertsmith.training.folder import METRICS, RUN, RunFolder
from bertsmith.training.loop import Prepared
from bertsmith.training.optim import check_layers
from bertsmith.training.run import check_without_dev, fit_sets, threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from bertsmith.checkpoint import Pretrained
    from bertsmith.evaluation import Evaluation
    from bertsmith.families import Family
    from bertsmith.nn.encoder import EncoderConfig
    from bertsmith.records import Encoded
    from bertsmith.tasks import Draw
    from bertsmith.tasks._masks import Masks
    from bertsmith.training import Fit

MaskTask: TypeAlias = Mlm | Nsp

CORPUS, HELD_OUT, START, ADAPTED = "corpus", "held-out", "start", "adapted"
# Settings of every run that mean nothing here: the rows are documents, and what they are told apart by is themselves.
NOT_HERE = (
    "train", "dev", "adapt", "adapt_epochs", "columns", "format", "header", "delimiter", "quoting", "encoding",
    "restarts", "gradual_unfreezing",
)  # fmt: skip
# What no bit of a run depends on, beside where it is and how it is stopped; as in every run's state.
FREE = ("out", "overwrite", "save_every", "tensorboard", "threads", "device")
# What is worth going on from, even before a state is saved.
WORTH_KEEPING = (START, f"{CORPUS}/store.json")
_LEAST_OF_A_PAIR = 5  # a piece of each, and the three special tokens of BERT, whose family alone has the head
DEFAULTS: Mapping[str, Any] = {"evals_per_epoch": 1, "dev_fraction": 0.05}


@dataclass(frozen=True, slots=True)
class Adapted:
    """What `adapt` and `pretrain` made. folder: a bundle, and an encoder to train on from. before: the held-out scores
    before the first step. evaluation: those at the end, None where nothing is held out."""

    folder: Path
    bundle: Bundle
    before: Mapping[str, float | None] | None
    evaluation: Evaluation | None
    fit: Fit


def adapt(
    corpus: CorpusSettings,
    task: MaskTask,
    settings: Settings,
    *,
    resume: bool = False,
    listen: Listener = nobody,
    stop: Callable[[], bool] = lambda: False,
    go_on: str = "",
) -> Adapted:
    """Train an encoder on with the words of a corpus (Gururangan et al. 2020), and with `Nsp` its neighbouring
    sentences.

    Writes ``settings.out``, whole or not at all: a bundle that fills blanks, and an encoder for `train` and for
    transformers. What runs, stops and resumes is as in `bertsmith.train`; the tokenized corpus is in
    ``<out>.partial/corpus`` while it runs. go_on: the command that resumes it, if not that of `adapt`, whose flags are
    not spoken of then.
    Raises InputError for what is wrong with files or settings, before any training.
    """
    folder = RunFolder.of(settings.out, resume=resume, overwrite=settings.overwrite)
    values = {"command": "adapt", **_flat(corpus, task, settings)}
    if resume:
        _check_same_run(folder, values)
    files = _opened(corpus, command="adapt")
    pretrained = load_pretrained(settings.encoder)
    _check_can_run(task, settings, pretrained.family, pretrained.config)
    next_head = any(name.startswith("cls.seq_relationship") for name in pretrained.head_tensors)
    if isinstance(task, Mlm) and next_head and not go_on:
        listen(Said("the encoder's next-sentence head is not trained on, and left out; --next-sentence keeps it"))
    with (
        threads(settings.threads),
        folder.running(
            toml_of(values), resume=resume, tensorboard=settings.tensorboard, listen=listen, keep=WORTH_KEEPING
        ) as everyone,
    ):
        trained = _trained(
            folder, corpus, files, task, settings, start=pretrained, name=pretrained.source.name, listen=everyone,
            stop=stop,
        )  # fmt: skip
    return _finished(folder, go_on or f"bertsmith adapt --resume {folder.out}", *trained)


def adapt_to_texts(
    texts: Iterable[str],
    settings: Settings,
    *,
    folder: RunFolder,
    listen: Listener = nobody,
    stop: Callable[[], bool] = lambda: False,
) -> Path:
    """An encoder adapted to the texts of a task before it is trained on them (task-adaptive pretraining, Gururangan et
    al. 2020, §4), inside the folder of that run: made now, or gone on with, or there already.

    Each text is a row of its own, as the task will read it; a text that comes many times is one.
    """
    adapted, corpus = folder.partial / ADAPTED, folder.partial / f"{ADAPTED}.jsonl"
    if adapted.is_dir():
        corpus.unlink(missing_ok=True)
        return adapted
    resume = (folder.partial / f"{ADAPTED}.partial" / RUN).is_file()
    if not resume:
        lines = (json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in dict.fromkeys(texts))
        write_text(corpus, "".join(lines))
    here = {
        name: getattr(settings, name)
        for name in ("encoder", "max_length", "seed", "device", "threads", "save_every", "accumulate")
    }
    reading, _, task, of_preset = resolve_corpus({"preset": "task", "epochs": settings.adapt_epochs}, command="adapt")
    of_texts = reading.model_copy(update={"corpus": (str(corpus),), "column": "text", "skip_empty": True})
    listen(Said("adapting the encoder to the training texts first"))
    adapt(
        of_texts, task, of_preset.model_copy(update={**here, "out": adapted}), resume=resume, listen=listen, stop=stop,
        go_on=f"bertsmith train --resume {folder.out}",
    )  # fmt: skip
    corpus.unlink()
    return adapted


def pretrain(
    corpus: CorpusSettings,
    new: NewEncoder,
    task: MaskTask,
    settings: Settings,
    *,
    resume: bool = False,
    listen: Listener = nobody,
    stop: Callable[[], bool] = lambda: False,
) -> Adapted:
    """Train an encoder from random weights (Devlin et al. 2019, §3.1), with a vocabulary that is learned from the
    corpus or given. The rest is as in `adapt`.
    """
    folder = RunFolder.of(settings.out, resume=resume, overwrite=settings.overwrite)
    shape = _shape(new)
    family = family_of(shape, source=new.config or "")
    new = _sized(new, shape, family)
    name = f"a new encoder of {new.config or f'size {new.size}'}"
    values = {"command": "pretrain", **_flat(corpus, task, settings), **_flat_of(new)}
    del values["encoder"]
    if resume:
        _check_same_run(folder, values)
    config = family.read_config(shape, source=new.config or "")
    sequence_limit(settings.max_length, most=config.max_length, name=name)
    files = _opened(corpus, command="pretrain")
    _check_can_run(task, settings, family, config)
    with (
        threads(settings.threads),
        folder.running(
            toml_of(values), resume=resume, tensorboard=settings.tensorboard, listen=listen, keep=WORTH_KEEPING
        ) as everyone,
    ):
        start = folder.partial / START
        if not start.is_dir():
            tokenizer = _vocabulary(start, new, files.documents, everyone)
            asked = shape.get(family.keys["vocabulary"])
            if new.vocabulary is not None and asked not in (None, tokenizer.vocab_size):
                text = f"{new.config}: its vocabulary of {asked:,} pieces gives way to {new.vocabulary}, which has"
                everyone(Said(f"{text} {tokenizer.vocab_size:,}"))
            _write_start(start, shape, tokenizer, settings)
        pretrained = load_pretrained(start)
        pretrained = replace(pretrained, source=Source(f"from nothing ({new.size or new.config})", start))
        trained = _trained(
            folder, corpus, files, task, settings, start=pretrained, name=name, listen=everyone, stop=stop
        )
    return _finished(folder, f"bertsmith pretrain --resume {folder.out}", *trained)


def resolve_corpus(
    values: Mapping[str, Any], *, command: str, source: str = ""
) -> tuple[CorpusSettings, NewEncoder, MaskTask, Settings]:
    """What a flat set of names asks for, as in run.toml; `config.resolve` for corpora.

    values: any name of CorpusSettings, of the options of `mlm`, of Settings (but NOT_HERE) and, to pretrain, of
    NewEncoder; ``next_sentence`` (true or false), and to adapt ``preset``.
    Raises SettingsError for an unknown name, a wrong type, or a value out of range.
    """
    at = f"{source}: " if source else ""
    values = {name: value for name, value in values.items() if name != "command"}
    preset = values.pop("preset", None)
    if preset is not None and (command != "adapt" or preset not in PRESETS):
        raise SettingsError(f"{at}preset must be one of {listed(PRESETS)} of adapt, got {preset!r}")
    of_preset = dict(PRESETS[preset]) if preset else {}
    if {"epochs", "max_steps"} & set(values):
        of_preset = {name: value for name, value in of_preset.items() if name not in ("epochs", "max_steps")}
    next_sentence = values.pop("next_sentence", command == "pretrain")
    if not isinstance(next_sentence, bool):
        raise SettingsError(f"{at}next_sentence must be true or false, got {next_sentence!r}")
    other = "packing" if next_sentence else "short_share"
    if other in values:
        which = "masked words alone" if next_sentence else "next sentences"
        raise SettingsError(f"{at}{other} is of {which}, and next_sentence is {str(next_sentence).lower()}")
    length = values.get("max_length")
    if next_sentence and isinstance(length, int) and length < _LEAST_OF_A_PAIR:
        raise SettingsError(f"{at}max_length must be at least {_LEAST_OF_A_PAIR} for two texts, got {length}")
    vocabulary = values.get("vocabulary")
    if vocabulary and "vocabulary_size" in values:
        raise SettingsError(f"{at}vocabulary_size is of a vocabulary that is learned, and {vocabulary} is given")
    if vocabulary and "cased" in values and Path(str(vocabulary)).is_dir():
        raise SettingsError(f"{at}cased is of a vocabulary that is learned; vocabulary names a tokenizer's folder")
    of_preset.pop(other, None)
    values = {**DEFAULTS, **of_preset, **values}
    kind: type[MaskTask] = Nsp if next_sentence else Mlm
    models: list[tuple[Any, Iterable[str]]] = [(CorpusSettings, CorpusSettings.model_fields), (kind, kind.options())]
    if command == "pretrain":
        models.append((NewEncoder, NewEncoder.model_fields))
        models.append((Settings, [name for name in Settings.model_fields if name not in (*NOT_HERE, "encoder")]))
    else:
        models.append((Settings, [name for name in Settings.model_fields if name not in NOT_HERE]))
    known = [name for _, names in models for name in names]
    for name in values:
        if name not in known:
            raise SettingsError(f"{at}unknown setting {name!r}{nearest(name, [*known, 'next_sentence', 'preset'])}")
    corpus, task, *new, settings = (
        checked(model, {name: values[name] for name in names if name in values}, at=at) for model, names in models
    )
    return corpus, new[0] if new else NewEncoder(), task, settings


def default_rate(width: int) -> float:
    """Devlin et al. 2019 (A.2) pretrained at 1e-4; smaller encoders take more (Turc et al. 2019)."""
    return 1e-4 if width >= 768 else 5e-4


@dataclass(frozen=True, slots=True)
class _Files:
    """The corpus, and what is scored, if that has files of its own."""

    documents: Documents
    held_out: Documents | None


def _opened(corpus: CorpusSettings, *, command: str) -> _Files:
    """Both, opened. Raises SettingsError if there is no corpus, if a file is in both, or for
    what tables alone have."""
    if not corpus.corpus:
        example = f"bertsmith {command} corpus.txt"
        raise SettingsError(f"'corpus' is missing: the files of text to learn from, as in {example}")
    documents = open_documents([Path(name) for name in corpus.corpus], corpus)
    held_out = open_documents([Path(name) for name in corpus.held_out], corpus) if corpus.held_out else None
    if corpus.column is not None and not any(each.tables for each in (documents, held_out) if each):
        tables = ".jsonl, .parquet, .csv and .tsv"
        raise SettingsError(f"column {corpus.column!r} is of {tables}, and {documents.files[0]} is plain text")
    usual = CorpusSettings()
    for name in ("delimiter", "quoting"):
        given = getattr(corpus, name)
        if given != getattr(usual, name) and not any(each.delimited for each in (documents, held_out) if each):
            raise SettingsError(f"{name} {given!r} is of .csv and .tsv, and {documents.files[0]} is neither")
    if held_out is None:
        return _Files(documents, None)
    both = {path.resolve() for path in documents.files} & {path.resolve() for path in held_out.files}
    if both:
        raise SettingsError(f"held_out: {min(both)} is in the corpus, too, and would be scored on what it learned")
    return _Files(documents, held_out)


def _check_can_run(task: MaskTask, settings: Settings, family: Family, config: EncoderConfig) -> None:
    """Raises InputError for what would stop the run later, after work that it would waste."""
    defaults = Settings()
    for name in NOT_HERE:
        if getattr(settings, name) != getattr(defaults, name):
            raise SettingsError(f"{name} means nothing where a corpus is learned, got {getattr(settings, name)!r}")
    if task.head_kind not in family.heads and isinstance(task, Nsp):
        raise SettingsError(
            f"next sentences want an encoder of the BERT family, and this is {family.model_type}; "
            "--no-next-sentence learns masked words alone"
        )
    family.form(task.head_kind)
    pick_device(settings.device)
    check_layers(config.layers, settings)


def _check_same_run(folder: RunFolder, values: Mapping[str, Any]) -> None:
    """Raises BundleError if a run that is resumed had other settings, but for those that no bit depends on."""
    before, now = read_toml(folder.partial / RUN), tomllib.loads(toml_of(values))
    for name in {**before, **now}:
        if name not in FREE and before.get(name) != now.get(name):
            raise BundleError(
                f"{folder.partial}: cannot resume: {name} was {before.get(name)!r} when the run began, now it is "
                f"{now.get(name)!r}"
            )


def _flat(corpus: CorpusSettings, task: MaskTask, settings: Settings) -> dict[str, Any]:
    """The settings as run.toml has them, without those that have no meaning beside the others."""
    options = {name: getattr(task, name) for name in task.options()}
    here = settings.model_dump(mode="python", exclude=set(NOT_HERE))
    unused = "packing" if isinstance(task, Nsp) else "short_share"
    of_corpus = corpus.model_dump(mode="python", exclude={unused})
    return {**of_corpus, "next_sentence": isinstance(task, Nsp), **options, **here}


def _flat_of(new: NewEncoder) -> dict[str, Any]:
    if new.vocabulary is None:
        return new.model_dump(mode="json")
    has_case = Path(new.vocabulary).is_dir()  # a tokenizer's folder says whether it tells upper from lower case
    return new.model_dump(mode="json", exclude={"vocabulary_size", "cased"} if has_case else {"vocabulary_size"})


def _trained(
    folder: RunFolder,
    corpus: CorpusSettings,
    files: _Files,
    task: MaskTask,
    settings: Settings,
    *,
    start: Pretrained,
    name: str,
    listen: Listener,
    stop: Callable[[], bool],
) -> tuple[Bundle, Evaluation | None, Fit]:
    """name: of the encoder, for messages."""
    tokenizer = start.tokenizer
    max_length = sequence_limit(settings.max_length, most=start.max_length, name=name)
    if settings.learning_rate is None:
        settings = settings.model_copy(update={"learning_rate": default_rate(start.config.width)})
    if tokenizer.mask_id is None:  # before the work of the store
        raise NoMaskTokenError(name)
    splits = any(each.splits for each in (files.documents, files.held_out) if each)
    if corpus.language != CorpusSettings().language and not splits:
        text = f"language {corpus.language!r} does nothing, as each line is a sentence; --sentences split splits them"
        listen(Said(text, warning=True))
    if splits and corpus.language not in LANGUAGES:
        text = f"{corpus.language!r} has no rules of its own for where sentences end: those of a related language are"
        listen(Said(f"{text} taken, or of English; there are some for {', '.join(LANGUAGES)}", warning=True))
    rows_of = _RowsOf(task, corpus, tokenizer, max_length, settings.seed)
    store = held_store = _stored(folder.partial / CORPUS, files.documents, tokenizer, listen)
    if files.held_out is None:
        train_D, held_D = _split(store, task, settings, files.documents.advice, listen)
    else:
        held_store = _stored(folder.partial / HELD_OUT, files.held_out, tokenizer, listen)
        train_D, held_D = np.arange(store.documents), np.arange(held_store.documents)

    counts_V = store.unigram(train_D)
    task = task.learn_counts(counts_V)
    rows = rows_of(store, train_D, advice=files.documents.advice)
    listen(Said(f"train: {_described(len(train_D), rows)}; unigram entropy {task.unigram_loss:.3f} nats a piece"))
    if cut := getattr(rows, "cut", 0):
        share = 100 * cut / (cut + rows.tokens)
        text = f"{cut:,} pieces ({share:.1f} %) are cut off pairs that are longer than max_length {max_length}"
        split_too = files.documents.plain and not files.documents.split_lines
        mend = f"{'shorter sentences (--sentences split) or ' if split_too else ''}a larger max_length"
        listen(Said(f"train: {text}; {mend} keeps more of them", warning=share > 20))
    held_set = None
    if len(held_D):
        held_rows = rows_of(held_store, held_D, advice=(files.held_out or files.documents).advice)
        held_set = _scored_rows(task, held_rows, tokenizer, most=corpus.most_scored)
        listen(Said(f"held out: {_described(len(held_D), held_rows)}, of which {len(held_set):,} rows are scored"))
    else:
        check_without_dev(task, settings)
    draw = _drawing(rows, task.masks(tokenizer, counts_V=counts_V))
    manifests = [{**each.manifest, "files": _contents(each), "note": ""} for each in (store, held_store)]
    return fit_sets(
        task, Prepared(_Examples(task, rows), Sequences(), rows.tokens, draw), held_set, settings,
        pretrained=start, anew=lambda: start, max_length=max_length, state=folder.state,
        data={"corpus": json.dumps([manifests, corpus.model_dump(mode="json", exclude={"corpus", "held_out"})])},
        score_first=True, listen=listen, stop=stop,
    )  # fmt: skip


def _drawing(rows: CorpusRows, masks: Masks) -> Draw:
    """A step's rows with the pairs and the masks of its epoch."""

    def draw(numbers: Sequence[int], seed: int, epoch: int) -> Sequence[Sequence[Encoded]]:
        drawn = (replace(rows.sequence(row, seed=seed, epoch=epoch), owner=row) for row in numbers)
        return balanced(
            [
                [masks.drawn(sequence, seed=seed, epoch=epoch, row=row)]
                for row, sequence in zip(numbers, drawn, strict=True)
            ]
        )

    return draw


def _split(
    store: Store, task: MaskTask, settings: Settings, advice: str, listen: Listener
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The documents to train on and those to score; of pairs, both parts have two that can be in one, or none is
    held out."""
    every = np.arange(store.documents)
    can_D, least, few = every, 1, f"{store.documents:,} documents are"
    if isinstance(task, Nsp):
        can_D, least = np.flatnonzero(np.diff(store.document_D) > 1), 2
        few = f"{several_of(len(can_D), store.documents)},"
    if not settings.dev_fraction or len(can_D) < least:  # too few even to be learned from, as is said there
        return every, every[:0]
    if len(can_D) < 2 * least:
        text = f"{few} too few to hold some out: nothing is scored, the last state is kept{advice}"
        listen(Said(text, warning=True))
        return every, every[:0]
    count = min(max(least, round(len(can_D) * settings.dev_fraction)), len(can_D) - least)
    _, held = split(len(can_D), fraction=count / len(can_D), seed=settings.seed)
    return np.setdiff1d(every, can_D[held]), can_D[held]


def _finished(folder: RunFolder, go_on: str, bundle: Bundle, evaluation: Evaluation | None, ended: Fit) -> Adapted:
    if ended.stopped:
        raise TrainingError(f"stopped after step {ended.steps}; go on with: {go_on}")
    before = _scores_before(folder.partial / METRICS)
    folder.finish(bundle, without=(CORPUS, HELD_OUT, START))
    return Adapted(folder.out, Bundle.load(folder.out), before, evaluation, ended)


def _stored(folder: Path, documents: Documents, tokenizer: Tokenizer, listen: Listener) -> Store:
    """The tokenized documents: those of the run that is resumed, if they are whole.

    Raises BundleError if those are of other files, or of another tokenizer.
    """
    if (folder / "store.json").is_file():
        store = Store.open(folder)
        if not store.made_with(tokenizer):
            raise BundleError(f"{folder}: cannot resume: the corpus was tokenized by another tokenizer")
        if _contents(store) != [sha256(path) for path in documents.files]:
            raise BundleError(f"{folder}: cannot resume: the files of the corpus have changed since the run began")
        return store
    listen(Said(documents.note))
    store = Store.build(folder, documents, tokenizer)
    if documents.skipped:
        text = f"{documents.skipped:,} rows without text are left out, the first of them {documents.first_skipped}"
        listen(Said(text, warning=True))
    if left_out := store.manifest["sentences_left_out"]:
        listen(Said(f"{left_out:,} sentences without a word piece are left out", warning=True))
    return store


def _contents(store: Store) -> list[str]:
    """The sha256 of the files that a store was made of."""
    return [each["sha256"] for each in store.manifest["files"]]


@dataclass(frozen=True, slots=True)
class _RowsOf:
    """How documents become the rows of a task."""

    task: MaskTask
    corpus: CorpusSettings
    tokenizer: Tokenizer
    max_length: int
    seed: int

    def __call__(self, store: Store, documents: NDArray[np.int64], *, advice: str) -> CorpusRows:
        if isinstance(self.task, Nsp):
            return PairRows(
                store, documents, self.tokenizer, max_length=self.max_length, short_share=self.corpus.short_share,
                seed=self.seed, advice=advice,
            )  # fmt: skip
        return PackedRows(store, documents, self.tokenizer, max_length=self.max_length, packing=self.corpus.packing)


def _described(documents: int, rows: CorpusRows) -> str:
    left_out = getattr(rows, "left_out", 0)
    text = f"{documents:,} documents, {len(rows):,} rows, {rows.tokens:,} tokens"
    return text + (f" ({left_out:,} documents of one sentence are in no pair)" if left_out else "")


@dataclass(frozen=True, slots=True)
class _Examples(Sequence[Any]):
    """The examples of a corpus's rows, made when one is asked for: where a row begins is all that there is to know."""

    task: MaskTask
    rows: CorpusRows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: Any) -> Any:
        return _example(self.task, self.rows, row)


def _example(task: MaskTask, rows: CorpusRows, row: int, *, follows: bool | None = None) -> Any:
    place = rows.place(row)
    return Neighbours("", "", follows, place) if isinstance(task, Nsp) else Passage("", place)


def _scored_rows(task: MaskTask, rows: CorpusRows, tokenizer: Tokenizer, *, most: int) -> Prepared:
    """Rows spread evenly over those held out, with masks that never change."""
    masks = task.masks(tokenizer, counts_V=None)
    numbers = np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(np.int64)).tolist()
    sequences = [replace(rows.sequence(row, seed=0, epoch=0), owner=owner) for owner, row in enumerate(numbers)]
    follows = [None if each.truth is None else bool(each.truth[0] == IS_NEXT) for each in sequences]
    examples = [_example(task, rows, row, follows=each) for row, each in zip(numbers, follows, strict=True)]
    return Prepared.of(examples, [[masks.fixed(each)] for each in sequences])


def _scores_before(metrics: Path) -> dict[str, float | None] | None:
    """The scores before the first step, which a resumed run did not make itself."""
    for line in metrics.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["event"] == "scored" and event["step"] == 0:
            scores: dict[str, float | None] = event["scores"]
            return scores
    return None


def _shape(new: NewEncoder) -> dict[str, Any]:
    """config.json of the new encoder, all but the size of its vocabulary."""
    if (new.size is None) == (new.config is None):
        raise SettingsError(f"give a size ({', '.join(SIZES)}) or a config, one of the two")
    if new.config is not None and new.config.endswith(".toml"):
        raise SettingsError(f"config {new.config}: is a config.json of an encoder; a file of settings is --settings")
    if new.config is not None:
        raw = read_json(Path(new.config))
        family_of(raw, source=new.config).read_config(raw, source=new.config)
        return raw
    assert new.size is not None
    family = family_of({"model_type": "bert"}, source="")
    return {"model_type": "bert", **{family.keys[name]: value for name, value in SIZES[new.size].items()}}


def _sized(new: NewEncoder, shape: Mapping[str, Any], family: Family) -> NewEncoder:
    """With the size of the vocabulary to learn that config.json asks for; a vocabulary that is given has its own.

    Raises SettingsError if another is asked for, too.
    """
    asked = shape.get(family.keys["vocabulary"])
    if asked is None or new.vocabulary is not None:
        return new
    if "vocabulary_size" in new.model_fields_set and new.vocabulary_size != asked:
        key = family.keys["vocabulary"]
        raise SettingsError(f"vocabulary_size is {new.vocabulary_size}, and {key} of {new.config} is {asked}; which?")
    return checked(NewEncoder, {**new.model_dump(), "vocabulary_size": asked}, at=f"{new.config}: ")


def _vocabulary(start: Path, new: NewEncoder, documents: Documents, listen: Listener) -> Tokenizer:
    """The tokenizer: of the given folder or file, or learned from the corpus."""
    for leftover in start.parent.glob("*vocabulary*"):  # of a run that was killed while it learned one
        shutil.rmtree(leftover)
    if new.vocabulary is not None:
        given = Path(new.vocabulary)
        if given.is_dir():
            return _with_mask(Tokenizer.from_folder(given), new.vocabulary)
        if not given.is_file():
            raise SettingsError(f"vocabulary {new.vocabulary}: no such file or folder")
        folder = start.with_name("vocabulary")
        folder.mkdir(exist_ok=True)
        shutil.copyfile(given, folder / "vocab.txt")
        config = {"do_lower_case": not new.cased, "tokenizer_class": "BertTokenizer"}
        (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    else:
        listen(Said("learning the vocabulary"))
        folder = start.with_name("vocabulary")
        train_wordpiece(documents, folder, size=new.vocabulary_size, lowercase=not new.cased)
    tokenizer = Tokenizer.from_folder(folder)
    if new.vocabulary is None and tokenizer.vocab_size < new.vocabulary_size:
        text = f"the corpus gives {tokenizer.vocab_size:,} pieces, fewer than the vocabulary_size"
        listen(Said(f"{text}, {new.vocabulary_size:,}", warning=True))
    return _with_mask(tokenizer, new.vocabulary or "the corpus")


def _with_mask(tokenizer: Tokenizer, name: str) -> Tokenizer:
    if tokenizer.mask_id is None:
        raise NoMaskTokenError(name)
    return tokenizer


def _write_start(start: Path, shape: Mapping[str, Any], tokenizer: Tokenizer, settings: Settings) -> None:
    """The checkpoint of random weights that training starts from."""
    family = family_of(shape, source=str(start))
    config = family.read_config({**shape, family.keys["vocabulary"]: tokenizer.vocab_size}, source=str(start))
    with torch.random.fork_rng(devices=[]):  # torch sets new modules at random before we do
        encoder = Encoder(config)
    encoder.initialize(torch.Generator().manual_seed(mixed_seed("encoder", settings.seed)))
    write_pretrained(start, encoder, family, tokenizer)
    shutil.rmtree(start.with_name("vocabulary"), ignore_errors=True)

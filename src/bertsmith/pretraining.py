"""Adapting an encoder to a corpus, and pretraining one from nothing: masked words and next sentences.

corpus ─documents▶ store of pieces ─rows▶ masks, anew in every epoch ─loop▶ a folder to train on from
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from bertsmith.batching import mixed_seed
from bertsmith.bundle import Bundle
from bertsmith.checkpoint import Source, load_pretrained, read_json, sequence_limit, write_pretrained
from bertsmith.config import Settings, toml_of
from bertsmith.corpus.documents import Documents, open_documents
from bertsmith.corpus.packed import CorpusRows, PackedRows
from bertsmith.corpus.pairs import PairRows
from bertsmith.corpus.settings import PRESETS, CorpusSettings, NewEncoder
from bertsmith.corpus.store import Store, split
from bertsmith.corpus.vocabulary import train_wordpiece
from bertsmith.errors import DataError, SettingsError, TrainingError, listed, nearest
from bertsmith.families import family_of
from bertsmith.families.bert import SIZES
from bertsmith.files import write_text
from bertsmith.nn.encoder import Encoder
from bertsmith.strict import checked
from bertsmith.tasks._masking import balanced
from bertsmith.tasks.mlm import Mlm, Passage
from bertsmith.tasks.nsp import FOLLOWS, Neighbours, Nsp
from bertsmith.tokenizer import Tokenizer
from bertsmith.training.events import Listener, Said, nobody
from bertsmith.training.folder import METRICS, RUN, RunFolder
from bertsmith.training.loop import Prepared
from bertsmith.training.run import fit_sets, threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from bertsmith.checkpoint import Pretrained
    from bertsmith.evaluation import Evaluation
    from bertsmith.records import Encoded
    from bertsmith.training import Fit

MaskTask: TypeAlias = Mlm | Nsp

CORPUS, HELD_OUT, START, ADAPTED = "corpus", "held-out", "start", "adapted"
# Settings of every run that mean nothing here: the rows are documents, and what they are told apart by is themselves.
NOT_HERE = (
    "train", "dev", "adapt", "adapt_epochs", "columns", "format", "header", "delimiter", "quoting", "encoding",
    "restarts", "gradual_unfreezing",
)  # fmt: skip
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
    ``<out>.partial/corpus`` while it runs. go_on: the command that resumes it, if not that of `adapt`.
    Raises InputError for what is wrong with files or settings, before any training.
    """
    folder = RunFolder.of(settings.out, resume=resume, overwrite=settings.overwrite)
    documents = _opened(corpus)
    pretrained = load_pretrained(settings.encoder)
    written = toml_of({"command": "adapt", **_flat(corpus, task, settings)})
    with (
        threads(settings.threads),
        folder.running(written, resume=resume, tensorboard=settings.tensorboard, listen=listen) as everyone,
    ):
        trained = _trained(
            folder, corpus, documents, task, settings, pretrained=pretrained, listen=everyone, stop=stop
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
    documents = _opened(corpus)
    values = {**_flat(corpus, task, settings), **new.model_dump(mode="json")}
    del values["encoder"]
    written = toml_of({"command": "pretrain", **values})
    with (
        threads(settings.threads),
        folder.running(written, resume=resume, tensorboard=settings.tensorboard, listen=listen) as everyone,
    ):
        start = folder.partial / START
        if not start.is_dir():
            _write_start(start, shape, _vocabulary(start, new, documents, everyone), settings)
        pretrained = load_pretrained(start)
        name = f"from nothing ({new.size or new.config})"
        pretrained = replace(pretrained, source=Source(name, pretrained.source.folder))
        trained = _trained(
            folder, corpus, documents, task, settings, pretrained=pretrained, listen=everyone, stop=stop
        )  # fmt: skip
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
    values = {**DEFAULTS, **of_preset, **values}
    next_sentence = values.pop("next_sentence", command == "pretrain")
    if not isinstance(next_sentence, bool):
        raise SettingsError(f"{at}next_sentence must be true or false, got {next_sentence!r}")
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


def _opened(corpus: CorpusSettings) -> Documents:
    if not corpus.corpus:
        raise SettingsError("'corpus' is missing: the files of text to learn from, as in bertsmith adapt corpus.txt")
    return open_documents([Path(name) for name in corpus.corpus], corpus)


def _flat(corpus: CorpusSettings, task: MaskTask, settings: Settings) -> dict[str, Any]:
    options = {name: getattr(task, name) for name in task.options()}
    here = settings.model_dump(mode="python", exclude=set(NOT_HERE))
    return {**corpus.model_dump(mode="python"), "next_sentence": isinstance(task, Nsp), **options, **here}


def _trained(
    folder: RunFolder,
    corpus: CorpusSettings,
    documents: Documents,
    task: MaskTask,
    settings: Settings,
    *,
    pretrained: Pretrained,
    listen: Listener,
    stop: Callable[[], bool],
) -> tuple[Bundle, Evaluation | None, Fit]:
    pretrained.family.form(task.head_kind)  # before the work that a missing one would waste
    tokenizer = pretrained.tokenizer
    max_length = sequence_limit(settings.max_length, most=pretrained.max_length, name=pretrained.source.name)
    if settings.learning_rate is None:
        settings = settings.model_copy(update={"learning_rate": default_rate(pretrained.config.width)})
    store = _stored(folder.partial / CORPUS, documents, tokenizer, listen)
    fraction = settings.dev_fraction
    if fraction and isinstance(task, Nsp):  # a pair wants a second document
        fraction = max(fraction, 2 / store.documents)
    train_D, held_D = split(store.documents, fraction=fraction, seed=settings.seed)
    held_store = store
    if corpus.held_out:
        held_documents = open_documents([Path(name) for name in corpus.held_out], corpus)
        held_store = _stored(folder.partial / HELD_OUT, held_documents, tokenizer, listen)
        train_D, held_D = np.arange(store.documents), np.arange(held_store.documents)

    counts_V = store.unigram(train_D)
    task = task.learn_counts(counts_V)
    masks = task.masks(tokenizer, counts_V=counts_V)
    rows = _rows(task, corpus, store, train_D, tokenizer, max_length, settings.seed)
    listen(Said(f"train: {_described(len(train_D), rows)}; unigram entropy {task.unigram_loss:.3f} nats a piece"))

    def draw(numbers: Sequence[int], seed: int, epoch: int) -> Sequence[Sequence[Encoded]]:
        drawn = (rows.sequence(row, seed=seed, epoch=epoch) for row in numbers)
        return balanced(
            [
                [masks.drawn(replace(sequence, owner=row), seed=seed, epoch=epoch, row=row)]
                for row, sequence in zip(numbers, drawn, strict=True)
            ]
        )

    held_set = None
    if len(held_D):
        try:
            held_rows = _rows(task, corpus, held_store, held_D, tokenizer, max_length, settings.seed)
        except DataError as error:  # too few sentences to make pairs of: the corpus itself may have enough
            listen(Said(f"nothing is held out to be scored: {error}", warning=True))
        else:
            held_set = _scored_rows(task, held_rows, tokenizer, most=corpus.most_scored)
            listen(Said(f"held out: {_described(len(held_D), held_rows)}, of which {len(held_set):,} rows are scored"))
    return fit_sets(
        task, Prepared(_Examples(task, rows), (), rows.tokens, draw), held_set, settings,
        pretrained=pretrained, anew=lambda: pretrained, max_length=max_length, state=folder.state,
        data={"corpus": json.dumps([store.manifest["files"], held_store.manifest["files"]])},
        score_first=True, listen=listen, stop=stop,
    )  # fmt: skip


def _finished(folder: RunFolder, go_on: str, bundle: Bundle, evaluation: Evaluation | None, ended: Fit) -> Adapted:
    if ended.stopped:
        raise TrainingError(f"stopped after step {ended.steps}; go on with: {go_on}")
    before = _scores_before(folder.partial / METRICS)
    folder.finish(bundle, without=(CORPUS, HELD_OUT, START))
    return Adapted(folder.out, Bundle.load(folder.out), before, evaluation, ended)


def _stored(folder: Path, documents: Documents, tokenizer: Tokenizer, listen: Listener) -> Store:
    """The tokenized documents: those of the run that is resumed, if they are whole."""
    if (folder / "store.json").is_file():
        return Store.open(folder)
    listen(Said(documents.note))
    store = Store.build(folder, documents, tokenizer)
    if documents.skipped:
        text = f"{documents.skipped:,} rows without text are left out, the first of them {documents.first_skipped}"
        listen(Said(text, warning=True))
    return store


def _rows(
    task: MaskTask,
    corpus: CorpusSettings,
    store: Store,
    documents: NDArray[np.int64],
    tokenizer: Tokenizer,
    max_length: int,
    seed: int,
) -> CorpusRows:
    if isinstance(task, Nsp):
        return PairRows(store, documents, tokenizer, max_length=max_length, short_share=corpus.short_share, seed=seed)
    return PackedRows(store, documents, tokenizer, max_length=max_length, packing=corpus.packing)


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
    follows = [None if each.truth is None else bool(each.truth[0] == FOLLOWS) for each in sequences]
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
    if new.config is not None:
        raw = read_json(Path(new.config))
        family_of(raw, source=new.config).read_config(raw, source=new.config)
        return raw
    assert new.size is not None
    family = family_of({"model_type": "bert"}, source="")
    return {"model_type": "bert", **{family.keys[name]: value for name, value in SIZES[new.size].items()}}


def _vocabulary(start: Path, new: NewEncoder, documents: Documents, listen: Listener) -> Tokenizer:
    """The tokenizer: of the given folder or file, or learned from the corpus."""
    if new.vocabulary is not None:
        given = Path(new.vocabulary)
        if given.is_dir():
            return Tokenizer.from_folder(given)
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
        text = f"the corpus gives {tokenizer.vocab_size:,} pieces, fewer than the {new.vocabulary_size:,} asked for"
        listen(Said(text, warning=True))
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

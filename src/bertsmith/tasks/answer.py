"""`answer`: the span of a passage that answers a question (Devlin et al. 2019, §4.2 and §4.3).

Letters: L pieces of a window, N pieces of a whole passage, A the most pieces of an answer.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from bertsmith import squad_scores as squad
from bertsmith.batching import mixed_seed
from bertsmith.data import text_of
from bertsmith.errors import DataError
from bertsmith.records import Finding, Input
from bertsmith.sequences import Sequences
from bertsmith.tasks import Chosen, Loss, Task, learned, option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from bertsmith.batching import Batch
    from bertsmith.families import HeadForm
    from bertsmith.nn.encoder import EncoderConfig
    from bertsmith.nn.heads import Head, TokenHead
    from bertsmith.records import Encoded, Place, Row
    from bertsmith.tasks import Output, Scorer
    from bertsmith.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Gold:
    """A right answer: a slice of the passage from the character `start` on."""

    text: str
    start: int

    @property
    def stop(self) -> int:
        return self.start + len(self.text)


@dataclass(frozen=True, slots=True)
class QuestionExample:
    """A question on a passage. target: its right answers, none where the passage holds none; None if not known."""

    question: str
    passage: str
    target: tuple[Gold, ...] | None
    place: Place
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A possible answer, ``passage[start:stop]``, with its probability among all spans (and no answer)."""

    text: str
    start: int
    stop: int
    probability: float

    def record(self) -> dict[str, Any]:
        return {"answer": self.text, "start": self.start, "stop": self.stop, "probability": self.probability}


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to one question.

    candidates: the best answers, best first. answered: whether the first of them is given; else the passage holds
    none. no_answer: the probability of that, None of a model that always answers. margin: by how much the score of no
    answer is above that of the best one. truncated: part of the question was not read.
    """

    candidates: tuple[Candidate, ...]
    answered: bool
    no_answer: float | None = None
    margin: float = 0.0
    truncated: bool = False
    id: str | None = None

    @property
    def text(self) -> str:
        """The answer, an exact slice of the passage; empty where the passage holds none."""
        return self.candidates[0].text if self.answered else ""

    @property
    def start(self) -> int | None:
        """Where it begins in the passage, in characters."""
        return self.candidates[0].start if self.answered else None

    @property
    def stop(self) -> int | None:
        """Where it ends: the first character after it."""
        return self.candidates[0].stop if self.answered else None

    @property
    def probability(self) -> float | None:
        """Of the answer given, that there is none included; None of a passage without a single piece."""
        return self.candidates[0].probability if self.answered else self.no_answer

    def record(self) -> dict[str, Any]:
        """As one JSON object: ``answer`` (empty for none), ``start``, ``stop``, ``probability``, ``n_best`` …"""
        record: dict[str, Any] = {} if self.id is None else {"id": self.id}
        record |= {"answer": self.text, "start": self.start, "stop": self.stop, "probability": self.probability}
        record["n_best"] = [candidate.record() for candidate in self.candidates]
        if self.no_answer is not None:
            record["no_answer_probability"] = self.no_answer
        return {**record, "truncated": True} if self.truncated else record


class Answer(Task[QuestionExample, Answered]):
    """A question and a passage → the span of the passage that answers it, or none where data has such questions.

    Long passages are read in windows, the question before each. A window's softmax is over the passage's pieces;
    where an answer may be missing (in data with unanswerable questions, and in one of several windows) [CLS] stands
    for "not here", too.
    """

    name = "answer"
    summary = "a question and a passage, to the span of the passage that answers it"
    example = "bertsmith train answer --train train.json --dev dev.json --out runs/answers"
    head_kind = "span"
    part = "question type"
    sums_sequences = True
    asked = ("question", "passage")
    inputs = (
        Input("question", names=("question", "query"), help="the column of the question"),
        Input(
            "passage",
            names=("passage", "context", "paragraph", "text", "document"),
            help="the column of the passage that holds the answer",
        ),
        Input(
            "answers",
            names=("answers", "answer"),
            required=False,
            help="the column of the right answers: texts with their answer_start, or a text that stands there once",
            or_else="is_impossible",
        ),
        Input(
            "is_impossible",
            names=("is_impossible",),
            required=False,
            help="the column that says that a question has no answer in its passage",
            or_else="answers",
        ),
        Input(
            "id",
            names=("id", "qas_id", "qid"),
            required=False,
            needed_to_train=False,
            help="the column of the question's id, which its answer repeats",
        ),
    )
    scores = ("f1", "exact_match", "has_answer_f1 and no_answer_accuracy (data with unanswerable questions)")

    overlap: int | None = option(
        None,
        "how many pieces neighbouring windows of a long text share; left out, 128 or what fits",
        at_use=True,
        ge=0,
    )
    max_answer_tokens: int = option(30, "the most pieces that an answer has", at_use=True, ge=1, le=100_000)
    n_best: int = option(3, "how many of the best answers a prediction lists", at_use=True, ge=1, le=1000)
    negatives: Literal["keep", "drop", "sample"] = option(
        "keep", "training windows without the answer: keep all, drop all, or sample one a question"
    )
    unanswerable: Literal["auto", "yes", "no"] = option(
        "auto", "whether a question may have no answer: auto (as in the training data), yes or no", at_use=True
    )
    no_answer_threshold: float | None = option(
        None, "by how much no answer must outscore the best one; left out, tuned on dev, or 0", at_use=True
    )
    metric: Literal["f1", "exact_match"] = option("f1", "the score that picks the best state: f1 or exact_match")

    saw_unanswerable: bool = learned(False)
    answer_words: int | None = learned(None)
    threshold: float = learned(0.0)

    def read(self, row: Row) -> QuestionExample:
        passage = text_of(row, "passage")
        known = "answers" in row.values or "is_impossible" in row.values
        return QuestionExample(
            question=text_of(row, "question"),
            passage=passage,
            target=_golds(row, passage) if known else None,
            place=row.place,
            id=str(row.values["id"]) if "id" in row.values else None,
        )

    def learn(self, examples: Sequence[QuestionExample]) -> Self:
        answers = [golds[0].text for example in examples if (golds := example.target)]
        if not answers:
            raise DataError(f"{examples[0].place.source}: no question has an answer; there is nothing to learn")
        return self.model_copy(
            update={
                "saw_unanswerable": any(not example.target for example in examples),
                "answer_words": int(np.median([len(answer.split()) for answer in answers])),
                "threshold": self.no_answer_threshold or 0.0,
            }
        )

    @property
    def may_be_unanswerable(self) -> bool:
        """Whether "no answer" is one of the answers."""
        return self.saw_unanswerable if self.unanswerable == "auto" else self.unanswerable == "yes"

    def check(self, examples: Sequence[QuestionExample]) -> None:
        """Any slice of a passage is an answer; that it is one was checked when it was read."""

    def sources(self, example: QuestionExample) -> tuple[str, ...]:
        return (example.passage,)

    def contradicts(self, examples: Sequence[QuestionExample]) -> Callable[[tuple[Gold, ...], tuple[Gold, ...]], bool]:
        """Answers of which no two are alike, or an answer and none."""

        def contradict(one: tuple[Gold, ...], other: tuple[Gold, ...]) -> bool:
            if not (one and other):
                return bool(one or other)
            return not any(squad.f1(first.text, second.text) for first in one for second in other)

        return contradict

    def findings(self, examples: Sequence[QuestionExample]) -> Sequence[Finding]:
        lengths = [len(golds[0].text.split()) for example in examples if (golds := example.target)]
        without = [example for example in examples if example.target == ()]
        passages = len({example.passage for example in examples})
        text = f"{len(examples):,} questions on {passages:,} passages"
        if without:
            text += f"; {len(without):,} have no answer"
        elif len(lengths) == len(examples):
            text += "; every one has an answer"
        if lengths:
            text += f"; answers have {np.median(lengths):.0f} words in the median, {max(lengths):,} at most"
        numbers = {"passages": passages, "unanswerable": len(without), "longest_words": max(lengths, default=0)}
        return [Finding("good", "answers", text, tuple(str(each.place) for each in without[:5]), numbers)]

    def remarks(self, examples: Sequence[QuestionExample]) -> Sequence[str]:
        remarks = []
        for name in ("question", "passage"):
            blank = [example for example in examples if not getattr(example, name).strip()]
            if blank:
                remarks.append(f"{len(blank):,} rows hold an empty {name}, the first of them {blank[0].place}")
        without = sum(example.target == () for example in examples)
        if without and not self.may_be_unanswerable:
            remarks.append(f"{without:,} questions have no answer, but this model always gives one")
        return remarks

    def encode(
        self, examples: Sequence[QuestionExample], tokenizer: Tokenizer, *, max_length: int
    ) -> list[list[Encoded]]:
        room = max_length - tokenizer.overhead(pair=True)
        # of the room, the passage surely has half; neighbouring windows may share most of that, not all
        overlap = max(0, min(128, (room - room // 2) * 3 // 4)) if self.overlap is None else self.overlap
        return tokenizer.windows(
            [example.question for example in examples],
            [example.passage for example in examples],
            max_length=max_length,
            overlap=overlap,
            spans=True,
        )

    def for_training(self, examples: Sequence[QuestionExample], encoded: Sequence[Sequence[Encoded]]) -> Chosen:
        """All windows, or fewer of those that do not hold the answer; never one without what is to be learned."""
        windows, without, lost = 0, 0, list[QuestionExample]()

        def of_each() -> Iterator[Sequence[Encoded]]:
            nonlocal windows, without
            for owner, (example, sequences) in enumerate(zip(examples, encoded, strict=True)):
                if not example.target:
                    yield sequences if self.may_be_unanswerable else []
                    continue
                windows += len(sequences)
                holding = [sequence for sequence in sequences if _pieces_of(example.target[0], sequence) is not None]
                others = [sequence for sequence in sequences if _pieces_of(example.target[0], sequence) is None]
                without += len(others)
                if not holding:
                    lost.append(example)
                    others = []  # that the answer is in none of them is not so
                if self.negatives == "sample" and others:
                    others = [others[mixed_seed("negatives", owner) % len(others)]]
                yield [*holding, *(others if self.negatives != "drop" else [])]

        chosen, remarks = Sequences(of_each()), []
        unanswerable = sum(not example.target for example in examples)
        if unanswerable:
            what = "a possible answer" if self.may_be_unanswerable else "none that may be given: they are left out"
            remarks.append(f"{unanswerable:,} of {len(examples):,} questions have no answer, which is {what}")
        if windows > len(examples) - unanswerable:
            what = {"keep": "kept", "drop": "dropped", "sample": "of which one a question is kept"}[self.negatives]
            share = f"{without:,} of {windows:,} windows ({100 * without / windows:.1f} %)"
            remarks.append(f"{share} of questions with an answer do not hold it: {what}")
        if lost:
            first = lost[0].place
            remarks.append(f"{len(lost):,} answers are whole in no window, the first of them {first}: not learned")
        return Chosen(chosen, remarks)

    def head(self, config: EncoderConfig, form: HeadForm, *, dropout: float) -> TokenHead:
        from bertsmith.nn.heads import TokenHead

        return TokenHead(width=config.width, outputs=2, dropout=dropout)

    def start_head(self, head: Head, *, deviation: float, generator: torch.Generator) -> None:
        from bertsmith.nn.encoder import initialize

        initialize(head, deviation=deviation, generator=generator)

    def loss(self, head: Head, hidden: Tensor, batch: Batch) -> Loss:
        """The mean of the negative log-likelihoods of the true start and end, summed over windows."""
        import torch
        import torch.nn.functional as F

        logits_T2 = head(hidden, batch.layout)["logits"].float()
        longest = max(batch.layout.lengths)
        position_SL = np.arange(longest)[None]
        bodies, targets, nulls = [], [], []
        for sequence, row in zip(batch.encoded, batch.row_S.tolist(), strict=True):
            golds = batch.examples[row].target
            pieces = _pieces_of(golds[0], sequence) if golds else None
            bodies.append(sequence.body)
            targets.append((0, 0) if pieces is None else pieces)
            nulls.append(pieces is None or self.may_be_unanswerable or self._may_be_elsewhere(sequence))
        body_S2 = np.array(bodies)
        candidate_SL = (position_SL >= body_S2[:, :1]) & (position_SL < body_S2[:, 1:])
        candidate_SL[:, 0] |= np.array(nulls)
        # every window's logits side by side; what lies beyond a shorter one belongs to the next, and is no candidate
        place_SL = batch.layout.first_S[:, None] + torch.arange(longest, device=hidden.device)
        logits_SL2 = logits_T2[place_SL.clamp(max=len(logits_T2) - 1)]
        outside_SL = torch.from_numpy(~candidate_SL).to(hidden.device)
        logits_SL2 = logits_SL2.masked_fill(outside_SL[:, :, None], -torch.inf)
        target_S2 = torch.tensor(targets, device=hidden.device)
        return Loss(F.cross_entropy(logits_SL2, target_S2, reduction="sum") / 2, targets=len(targets))

    def _may_be_elsewhere(self, sequence: Encoded) -> bool:
        """Whether training has windows like this one that do not hold their answer."""
        return sequence.windows > 1 and self.negatives != "drop"

    def decode(self, example: QuestionExample, encoded: Sequence[Encoded], outputs: Sequence[Output]) -> Answered:
        """The best ``start_i + end_j`` with i ≤ j < i + max_answer_tokens over all windows.

        A span that several windows hold has the best of its scores. Probabilities are those of a softmax over all
        spans, and no answer where that is one.
        """
        pieces = max(sequence.offset + sequence.body[1] - sequence.body[0] for sequence in encoded)
        # no span is longer than its window
        most = min(self.max_answer_tokens, max(sequence.body[1] - sequence.body[0] for sequence in encoded))
        score_NA = np.full((pieces, most), -np.inf)
        spans_N2 = np.zeros((pieces, 2), dtype=np.int32)
        for sequence, output in zip(encoded, outputs, strict=True):
            start, stop = sequence.body
            if start == stop:  # a passage without a piece
                continue
            assert sequence.spans is not None, "answers are slices of the passage"
            here = slice(sequence.offset, sequence.offset + stop - start)
            spans_N2[here] = sequence.spans[start:stop]
            window_LA = _span_scores(output["logits"][start:stop], spans_N2[here], most)
            score_NA[here] = np.maximum(score_NA[here], window_LA)
        no_answer = float(min(np.sum(output["logits"][0], dtype=np.float64) for output in outputs))
        total = _log_sum(score_NA, no_answer if self.may_be_unanswerable else -np.inf)
        best = _best_spans(score_NA, self.n_best, spans_N2)
        candidates = tuple(
            Candidate(example.passage[start:stop], start, stop, float(np.exp(score - total)))
            for score, start, stop in best
        )
        margin = no_answer - best[0][0] if best else np.inf
        return Answered(
            candidates=candidates,
            answered=self._answers(candidates, margin),
            no_answer=float(np.exp(no_answer - total)) if self.may_be_unanswerable else None,
            margin=float(margin),
            truncated=any(sequence.cut for sequence in encoded),
            id=example.id,
        )

    def _answers(self, candidates: Sequence[Candidate], margin: float) -> bool:
        """Whether the best of these is given, no answer being so much above it."""
        threshold = self.threshold if self.no_answer_threshold is None else self.no_answer_threshold
        return bool(candidates) and not (self.may_be_unanswerable and margin > threshold)

    def calibrate(self, examples: Sequence[QuestionExample], predictions: Sequence[Answered]) -> Self:
        """The threshold of no answer with the best score on these rows (Devlin et al. 2019, §4.3)."""
        if not self.may_be_unanswerable or self.no_answer_threshold is not None:
            return self
        # a passage without a piece has no candidate, and no threshold makes it answer
        scored = [
            (example, prediction)
            for example, prediction in zip(examples, predictions, strict=True)
            if prediction.candidates
        ]
        if not scored:
            return self
        margin_R = np.array([prediction.margin for _, prediction in scored])
        gain_R = np.array([self._score(prediction.candidates[0].text, example) for example, prediction in scored])
        gain_R -= np.array([self._score("", example) for example, _ in scored])
        order = np.argsort(margin_R, kind="stable")
        sorted_R = margin_R[order]
        # answering the first n questions of that order gains total[n]
        total = np.concatenate([[0.0], np.cumsum(gain_R[order])])
        cuts = [n for n in range(len(total)) if n in (0, len(sorted_R)) or sorted_R[n - 1] < sorted_R[n]]
        best = max(cuts, key=lambda n: total[n])
        low = sorted_R[best - 1] if best else sorted_R[0] - 1.0
        high = sorted_R[best] if best < len(sorted_R) else sorted_R[-1] + 1.0
        halfway = (low + high) / 2
        return self.model_copy(update={"threshold": float(halfway if halfway < high else low)})

    def decide(self, prediction: Answered) -> Answered:
        return replace(prediction, answered=self._answers(prediction.candidates, prediction.margin))

    def tuned(self) -> str | None:
        if not self.may_be_unanswerable or self.no_answer_threshold is not None:
            return None
        return f"no answer is given where it outscores the best one by more than {self.threshold:.3f}"

    def untuned(self) -> str | None:
        if not self.may_be_unanswerable or self.no_answer_threshold is not None:
            return None
        return (
            "the threshold of no answer is 0: there are no dev rows to tune it on; give dev, or --no-answer-threshold"
        )

    def _score(self, text: str, example: QuestionExample) -> float:
        measure = squad.f1 if self.metric == "f1" else squad.exact_match
        return squad.best(measure, text, _texts(example), unanswerable=True)

    def baseline(self, examples: Sequence[QuestionExample]) -> Sequence[Answered] | None:
        """The passage's first words, as many as answers have; or no answer, where that is one."""
        if self.answer_words is None:
            return None
        answers = []
        for example in examples:
            first = " ".join(example.passage.split()[: self.answer_words])
            start = len(example.passage) - len(example.passage.lstrip())
            candidates = (Candidate(first, start, start + len(first), 1.0),) if first else ()
            answers.append(Answered(candidates, answered=bool(first) and not self.may_be_unanswerable, id=example.id))
        return answers

    def agreeing(self, examples: Sequence[QuestionExample]) -> Callable[[Answered, Answered], Sequence[bool]]:
        """The slice of the passage is what is decided, or that there is no answer."""

        def decided(prediction: Answered) -> tuple[Any, ...]:
            return prediction.answered, prediction.start, prediction.stop

        return lambda one, other: [decided(one) == decided(other)]

    def collapsed(self, examples: Sequence[QuestionExample], predictions: Sequence[Answered]) -> str | None:
        if not any(prediction.answered for prediction in predictions):
            return None if not any(example.target for example in examples) else "collapsed: no question is answered"
        starts = [
            (prediction.start, len(example.passage) - len(example.passage.lstrip()))
            for prediction, example in zip(predictions, examples, strict=True)
        ]
        if len({example.target and example.target[0].start for example in examples}) > 1 and all(
            given == first for given, first in starts
        ):
            return "collapsed: every answer is the beginning of its passage"
        return None

    def main_score(self) -> str:
        return self.metric

    def scorer(self, examples: Sequence[QuestionExample], predictions: Sequence[Answered]) -> Scorer:
        exact_R, f1_R = self._by_row(examples, predictions)
        answerable_R = np.array([bool(example.target) for example in examples])
        mixed = not answerable_R.all()

        def scores(rows: NDArray[np.int64]) -> Mapping[str, float | None]:
            values: dict[str, float | None] = {"f1": float(f1_R[rows].mean())}
            values["exact_match"] = float(exact_R[rows].mean())
            if mixed:
                has = answerable_R[rows]
                values["has_answer_f1"] = float(f1_R[rows][has].mean()) if has.any() else None
                values["no_answer_accuracy"] = float(exact_R[rows][~has].mean()) if not has.all() else None
            return values

        return scores

    def _by_row(
        self, examples: Sequence[QuestionExample], predictions: Sequence[Answered]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Exact match and F1 of every row. Rows are scored by SQuAD 2.0's rules if one of them has no answer."""
        mixed = any(not example.target for example in examples)
        exact, f1 = (
            np.array(
                [
                    squad.best(measure, prediction.text, _texts(example), unanswerable=mixed)
                    for example, prediction in zip(examples, predictions, strict=True)
                ]
            )
            for measure in (squad.exact_match, squad.f1)
        )
        return exact, f1

    def details(
        self, examples: Sequence[QuestionExample], predictions: Sequence[Answered]
    ) -> Mapping[str, Mapping[str, float]]:
        exact_R, f1_R = self._by_row(examples, predictions)
        type_R = np.array([squad.question_type(example.question) for example in examples])
        return {
            kind: {
                "f1": float(f1_R[type_R == kind].mean()),
                "exact_match": float(exact_R[type_R == kind].mean()),
                "questions": count,
            }
            for kind, count in Counter(type_R.tolist()).most_common()
        }

    def target_record(self, target: tuple[Gold, ...]) -> Any:
        return [gold.text for gold in target]

    @classmethod
    def from_transformers(cls, config: Mapping[str, Any]) -> Self | None:
        return cls()

    def to_transformers(self) -> Mapping[str, Any]:
        """Two outputs, whatever labels the encoder's config.json had: transformers makes as many as there are names."""
        return {"id2label": {"0": "start", "1": "end"}, "label2id": {"start": 0, "end": 1}}


TASK = Answer


def _texts(example: QuestionExample) -> list[str]:
    return [gold.text for gold in example.target or ()]


def _pieces_of(gold: Gold, window: Encoded) -> tuple[int, int] | None:
    """The positions in a window of an answer's first and last piece; None if the window does not hold it whole."""
    start, stop = window.body
    assert window.spans is not None, "answers are found by their characters"
    spans_L2 = window.spans[start:stop]
    inked_L = spans_L2[:, 0] < spans_L2[:, 1]
    first = np.flatnonzero(inked_L & (spans_L2[:, 1] > gold.start))
    last = np.flatnonzero(inked_L & (spans_L2[:, 0] < gold.stop))
    if not len(first) or not len(last) or first[0] > last[-1]:
        return None
    if window.windows > 1:
        # an answer that reaches over the window's edge, where another window goes on
        cut_before = window.offset > 0 and first[0] == 0 and spans_L2[0, 0] > gold.start
        cut_after = last[-1] == stop - start - 1 and spans_L2[-1, 1] < gold.stop
        if cut_before or cut_after:
            return None
    return start + int(first[0]), start + int(last[-1])


def _span_scores(logits_L2: NDArray[np.float32], spans_L2: NDArray[np.int32], most: int) -> NDArray[np.float64]:
    """The score of the span from each piece to itself and to each of those after it, ``[L, A]``; -inf for none."""
    start_L, end_L = logits_L2.astype(np.float64).T.copy()
    blank_L = spans_L2[:, 0] >= spans_L2[:, 1]  # a piece without a character begins and ends no answer
    start_L[blank_L] = end_L[blank_L] = -np.inf
    padded = np.concatenate([end_L, np.full(most - 1, -np.inf)])
    scores_LA: NDArray[np.float64] = start_L[:, None] + np.lib.stride_tricks.sliding_window_view(padded, most)
    return scores_LA


def _log_sum(score_NA: NDArray[np.float64], other: float) -> float:
    """The logarithm of the sum of the exponentials of all scores and another one; 0 if all are -inf."""
    highest = max(float(score_NA.max(initial=-np.inf)), other)
    if highest == -np.inf:
        return 0.0
    return highest + float(np.log(np.exp(score_NA - highest).sum() + np.exp(other - highest)))


def _best_spans(score_NA: NDArray[np.float64], count: int, spans_N2: NDArray[np.int32]) -> list[tuple[float, int, int]]:
    """The best spans as score, first character and the one after the last; pieces of one character count once."""
    flat = score_NA.ravel()
    wanted = min(4 * count, flat.size)
    top = np.argpartition(-flat, wanted - 1)[:wanted] if wanted else np.zeros(0, dtype=np.int64)
    found: dict[tuple[int, int], float] = {}
    for index in top[np.lexsort((top, -flat[top]))].tolist():
        first, more = divmod(index, score_NA.shape[1])
        if flat[index] > -np.inf:
            found.setdefault((int(spans_N2[first, 0]), int(spans_N2[first + more, 1])), float(flat[index]))
    return [(score, start, stop) for (start, stop), score in found.items()][:count]


def _golds(row: Row, passage: str) -> tuple[Gold, ...]:
    """The right answers of a row, none if it says that there are none. May raise DataError."""
    impossible = _flag(row) if "is_impossible" in row.values else None
    golds = _read_golds(row, passage)
    if impossible and golds:
        raise DataError(f"is_impossible is true, but there are {len(golds)} answers", place=row.place)
    if impossible is False and not golds:
        raise DataError("is_impossible is false, but there is no answer", place=row.place)
    return golds


def _flag(row: Row) -> bool:
    value = row.values["is_impossible"]
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": False}
    found = words.get(value.strip().lower()) if isinstance(value, str) else value
    if found in (True, False):
        return bool(found)
    raise DataError(f"is_impossible must be true or false, got {value!r}", place=row.place)


def _read_golds(row: Row, passage: str) -> tuple[Gold, ...]:
    """Answers in any of the forms in use: SQuAD's list of objects, its columns (a table of lists), texts alone."""
    value = row.values.get("answers", [])
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):  # a cell of a table
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):  # an answer may begin with a bracket, if the passage has it so
            if value not in passage:
                message = f"answers {_clipped(value)} begin like JSON, but are neither that nor a text of the passage"
                raise DataError(message, place=row.place) from None
    if isinstance(value, dict):
        texts, starts = value.get("text"), value.get("answer_start", value.get("start"))
        if isinstance(texts, list) and isinstance(starts, list) and len(texts) == len(starts):
            value = [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]
        else:
            value = [value]
    elif isinstance(value, str):
        value = [value] if value.strip() else []
    if not isinstance(value, list):
        message = f"answers must be texts, or texts with their answer_start, got {value!r}"
        raise DataError(f"{message}; [], an empty list, says that there is no answer", place=row.place)
    return tuple(_gold(item, number, row, passage) for number, item in enumerate(value, start=1))


def _gold(item: Any, number: int, row: Row, passage: str) -> Gold:
    text, start = item, None
    if isinstance(item, dict):
        text, start = item.get("text"), item.get("answer_start", item.get("start"))
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"answer {number} must be a text, got {item!r}", place=row.place)
    if start is None:
        return Gold(text, _only_place(text, number, row, passage))
    if isinstance(start, bool) or not isinstance(start, int):
        raise DataError(f"answer {number}: answer_start must be a whole number, got {start!r}", place=row.place)
    found = passage[max(start, 0) : max(start, 0) + len(text)]
    if start < 0 or found != text:
        raise DataError(
            f"answer {number} {_clipped(text)} is not at answer_start {start}, where the passage has "
            f"{_clipped(found)}{_nearest_place(text, start, passage)}",
            place=row.place,
        )
    return Gold(text, start)


def _only_place(text: str, number: int, row: Row, passage: str) -> int:
    count = passage.count(text)
    if count == 1:
        return passage.index(text)
    found = "is not in the passage" if count == 0 else f"is {count} times in the passage: give its answer_start"
    raise DataError(f"answer {number} {_clipped(text)} {found}", place=row.place)


def _nearest_place(text: str, start: int, passage: str) -> str:
    places = []
    at = passage.find(text)
    while at >= 0:
        places.append(at)
        at = passage.find(text, at + 1)
    if not places:
        return "; it is nowhere in the passage"
    return f"; it is at {min(places, key=lambda place: abs(place - start))}"


def _clipped(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…")

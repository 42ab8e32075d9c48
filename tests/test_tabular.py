"""What holds for every transform of tables, and what each is meant to do."""

# fields of a Batch that the test itself has set, and arguments that are wrong on purpose
# mypy: disable-error-code="union-attr, arg-type, index, operator, list-item"
from __future__ import annotations

import inspect
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from zoo_tabular import ALONE, COLUMNS, DATA, EVERY, MIXING, NUMBERS, STANDING_ALONE, rows

from torchaug import Batch, Compose, Lambda, Transform, tabular
from torchaug import tabular as T
from torchaug.data import DeviceLoader, TableDataset
from torchaug.keys import sample_keys, uniforms
from torchaug.recipes import Views
from torchaug.serial import from_dict, from_json, from_yaml, to_dict, to_json, to_yaml
from torchaug.signature import arguments_text
from torchaug.transform import Layer

STD = [10.0, 2.0, 0.5, 0.0]


def every(zoo: dict[str, Layer]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("transform", zoo.values(), ids=zoo)


def labelled(count: int = 6, dtype: torch.dtype = torch.float32) -> Batch:
    key = sample_keys(torch.arange(count), seed=3)
    return Batch(table=rows(max(count, 1), dtype)[:count], label=torch.arange(count) % 2, key=key)


def assert_same(a: Batch, b: Batch, atol: float = 0) -> None:
    assert a.present().keys() == b.present().keys()
    for name, value in a.present().items():
        other = b.present()[name]
        assert value.dtype == other.dtype, name
        torch.testing.assert_close(value, other, rtol=0, atol=atol, equal_nan=True)


@every(STANDING_ALONE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_row_stands_alone(transform: Layer, dtype: torch.dtype) -> None:
    batch = labelled(dtype=dtype)
    together = transform(batch)
    assert not torch.equal(together.table.nan_to_num(), batch.table.nan_to_num())
    for i in range(len(batch)):
        assert_same(together[i : i + 1], transform(batch[i : i + 1]))


@every(EVERY)
def test_permuting_the_batch_permutes_the_result(transform: Layer) -> None:
    order = torch.tensor([3, 0, 5, 2, 1, 4])
    assert_same(transform(labelled())[order], transform(labelled()[order]))


@every(EVERY)
def test_the_input_stays_as_it_was(transform: Layer) -> None:
    batch = labelled()
    copy = batch.map(torch.clone)
    transform(batch)
    assert_same(batch, copy)
    assert all(value._version == 0 for value in batch.present().values())


@every(ALONE | MIXING)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_that_are_not_chosen_are_bit_equal(transform: Transform, dtype: torch.dtype) -> None:
    batch = labelled(dtype=dtype).replace(label=None)
    batch.table[0, 1] = math.inf
    u = torch.rand(6, transform.uniforms, generator=torch.Generator().manual_seed(0))
    some = torch.arange(6) % 2 == 1
    assert_same(transform.apply(batch, u, torch.zeros(6, dtype=torch.bool)), batch)
    assert_same(transform.apply(batch, u, some)[::2], batch[::2])


@every(EVERY)
def test_evaluation_is_the_identity(transform: Layer) -> None:
    transform.eval()
    try:
        assert_same(transform(labelled()), labelled())
    finally:
        transform.train()


@every(EVERY)
@pytest.mark.parametrize("count", [0, 1])
def test_empty_and_one_row_batches(transform: Layer, count: int) -> None:
    assert len(transform(labelled(count))) == count
    on_fake_cuda(transform, count)


@every(MIXING)
def test_a_row_alone_has_nobody_to_mix_with(transform: Layer) -> None:
    batch = labelled(1).replace(label=None)
    assert_same(transform(batch), batch)


@every(EVERY)
def test_a_generator_repeats_and_the_global_state_is_kept(transform: Layer) -> None:
    batch, state = labelled().replace(key=None), torch.get_rng_state()
    first = transform(batch, generator=torch.Generator().manual_seed(7))
    assert torch.equal(torch.get_rng_state(), state)
    assert_same(first, transform(batch, generator=torch.Generator().manual_seed(7)))


def on_fake_cuda(transform: Layer, count: int = 4) -> None:
    """On a fake CUDA device any read of a value fails."""
    document = to_dict(transform)
    with FakeTensorMode():
        label, key = (torch.empty(count, dtype=torch.int64, device="cuda") for _ in range(2))
        batch = Batch(table=torch.empty(count, 6, device="cuda"), label=label, key=key)
        from_dict(document).to("cuda")(batch)


@every(EVERY)
def test_nothing_waits_for_the_device(transform: Layer) -> None:
    on_fake_cuda(transform)


@every(ALONE | MIXING | {name: EVERY[name] for name in ("one_of", "mixing_chain")})
def test_the_graph_is_whole_and_equal_to_eager(transform: Layer) -> None:
    Compose([transform]).plan()
    torch._dynamo.reset()
    compiled = torch.compile(transform.play, fullgraph=True, backend="eager")
    for seed in range(2):
        batch = labelled()
        params = transform.draw(batch, keys=sample_keys(torch.arange(6), seed=seed))
        with torch._dynamo.config.patch(error_on_recompile=seed > 0):
            assert_same(compiled(batch, params), transform.play(batch, params), atol=1e-4)


@every(EVERY)
def test_autocast_changes_nothing(transform: Layer) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = transform(labelled())
    assert_same(out, transform(labelled()))


@every(EVERY)
def test_what_is_drawn_is_replayed_and_described(transform: Layer) -> None:
    chain = Compose([transform])
    params = chain.draw(labelled())
    assert_same(chain.apply(labelled(), params), chain(labelled()))
    for record, leaf in zip(chain.describe(params, 2), chain.leaves(), strict=True):
        assert record["transform"] == type(leaf).__name__
        assert len(record) > 2


@every(EVERY)
def test_a_file_brings_back_the_same(transform: Layer) -> None:
    expected = transform(labelled())
    again = [from_dict(to_dict(transform)), from_json(to_json(transform)), from_yaml(to_yaml(transform))]
    for other in again:
        assert_same(other(labelled()), expected)
        assert to_dict(other) == to_dict(transform)


@every(ALONE | MIXING)
def test_the_text_of_a_transform_is_its_python(transform: Transform) -> None:
    again = eval(f"T.{type(transform).__name__}({arguments_text(transform)})", {"T": T})
    assert_same(again(labelled()), transform(labelled()))


@every(EVERY)
def test_gradients_reach_the_table_twice_as_claimed(transform: Layer) -> None:
    assert all(leaf.differentiable == 2 for leaf in transform.leaves())
    values = rows(dtype=torch.float64).nan_to_num(1.0).requires_grad_()
    out = transform(Batch(table=values, key=sample_keys(torch.arange(6)))).table.nan_to_num()
    (gradient,) = torch.autograd.grad((out**3).sum(), values, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), values)
    for each in (gradient, second):
        assert each.isfinite().all()
        assert each.abs().sum() > 0


def test_names_that_images_have_too_are_told_apart() -> None:
    assert to_dict(T.GaussianNoise([1.0]))["transform"] == "tabular.GaussianNoise"
    assert to_dict(T.SwapNoise(3))["transform"] == "SwapNoise"


@every(EVERY)
def test_all_ways_to_pass_a_table_give_the_same(transform: Layer) -> None:
    batch = labelled()
    expected, keys = transform(batch), batch.key
    values, labels = transform(batch.table, batch.label, keys=keys)
    by_name = transform({"table": batch.table, "label": batch.label, "index": torch.arange(6)}, keys=keys)
    assert torch.equal(values, expected.table) or values.isnan().any()
    torch.testing.assert_close(values, expected.table, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(labels, expected.label)
    torch.testing.assert_close(by_name["table"], values, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(by_name["index"], torch.arange(6))
    one = transform(batch.table[2], keys=keys[2:3])
    assert one.shape == (6,)
    if transform in STANDING_ALONE.values():
        torch.testing.assert_close(one, values[2], rtol=0, atol=0, equal_nan=True)
        assert transform(DATA[3], keys=keys[:1]).keys() == DATA[3].keys()


def test_a_chain_with_functions_of_batches_takes_tables() -> None:
    halve = Lambda(lambda batch: batch.replace(table=batch.table / 2))
    out = Compose([halve, T.GaussianNoise([1.0] * 6, sigma=0.0)])(torch.ones(2, 6))
    assert torch.equal(out, torch.full((2, 6), 0.5))


def test_views_of_a_table_differ() -> None:
    first, second = Views([T.SwapNoise(6, 0.5), T.SwapNoise(6, 0.5)])(rows())
    assert first.shape == second.shape == (6, 6)
    assert not torch.equal(first.nan_to_num(), second.nan_to_num())


def test_a_loader_augments_a_table() -> None:
    loader = torch.utils.data.DataLoader(DATA, batch_size=16)
    batches = list(DeviceLoader(loader, Compose([ALONE["noise"], MIXING["mixup"]]), device="cpu"))
    assert [tuple(batch["table"].shape) for batch in batches] == [(16, 6)] * 3 + [(12, 6)]
    assert batches[0]["label"].shape == (16, 2)


def test_noise_is_normal_in_each_columns_own_deviations() -> None:
    table = torch.zeros(20000, 6)
    table[:, 4:] = torch.tensor([3.0, 1.0])
    out = T.GaussianNoise(STD, sigma=0.2)(table, keys=sample_keys(torch.arange(20000), seed=1))
    assert torch.equal(out[:, 4:], table[:, 4:])
    assert torch.equal(out[:, 3], table[:, 3])
    for column, std in zip(out.T[:3], STD[:3], strict=True):
        assert stats.kstest((column / (0.2 * std)).numpy(), "norm").pvalue > 1e-3
    correlations = torch.corrcoef(out[:, :3].T) - torch.eye(3)
    assert correlations.abs().max() < 0.03


def test_a_range_of_sigma_is_drawn_uniformly_and_told() -> None:
    noise = T.GaussianNoise(STD, sigma=(0.1, 0.5))
    params = noise.draw(Batch(table=torch.zeros(2000, 4)), keys=sample_keys(torch.arange(2000)))
    drawn = [noise.describe(params, i)[0]["sigma"] for i in range(0, 2000, 10)]
    assert stats.kstest(drawn, "uniform", (0.1, 0.4)).pvalue > 1e-3


def test_a_missing_number_stays_missing() -> None:
    out = T.GaussianNoise(STD)(torch.full((3, 4), math.nan))
    assert out.isnan().all()


def test_swapped_values_are_those_of_other_rows_in_the_same_column() -> None:
    count = 4000
    table = torch.stack([torch.arange(count) + 10000.0 * column for column in range(4)], 1)
    swap = T.SwapNoise(4, chance=(0.3, 0.0, 1.0, 0.1))
    keys = sample_keys(torch.arange(count))
    out = swap(table, keys=keys)
    assert torch.equal((out / 10000).floor(), (table / 10000).floor())
    changed = out != table
    for share, chance in zip(changed.float().mean(0).tolist(), (0.3, 0.0, 1.0, 0.1), strict=True):
        assert abs(share - chance) < 4 * math.sqrt(chance * (1 - chance) / count) + 1e-9
    params = swap.draw(Batch(table=table), keys=keys)
    for i in (0, 17, 3999):
        assert swap.describe(params, i)[0]["swapped"] == changed[i].tolist()
    partner = (out[:, 2].long() - 20000 - torch.arange(count)) % count
    assert stats.kstest(partner.double().numpy() / count, "uniform").pvalue > 1e-3
    both = changed[:, 0] & changed[:, 2]
    assert ((out[both, 0] + 20000) != out[both, 2]).float().mean() > 0.99  # a partner of its own for each value


def test_dropped_values_are_filled_as_said() -> None:
    count = 4000
    fill: list[float | None] = [None, 2.5, 0.0, 7.0]
    table = torch.full((count, 4), 1.0)
    drop = T.FeatureDropout(fill, chance=(0.3, 0.5, 0.0, 1.0))
    params = drop.draw(Batch(table=table), keys=sample_keys(torch.arange(count)))
    out = drop.apply(Batch(table=table), *drop.route(params.u, torch.ones(count, dtype=torch.bool))[0]).table
    dropped = out != 1
    for share, chance in zip(dropped.float().mean(0).tolist(), (0.3, 0.5, 0.0, 1.0), strict=True):
        assert abs(share - chance) < 4 * math.sqrt(chance * (1 - chance) / count) + 1e-9
    assert out[dropped[:, 0], 0].isnan().all()
    assert set(out[:, 1].tolist()) == {1.0, 2.5}
    assert (out[:, 3] == 7).all()
    assert drop.describe(params, 5)[0]["dropped"] == dropped[5].tolist()


def test_what_a_training_set_tells() -> None:
    known = [column[~column.isnan()].numpy() for column in DATA.numeric.T]
    assert T.GaussianNoise.fit(DATA).std == pytest.approx([column.std() for column in known])
    assert T.FeatureDropout.fit(DATA, fill="mean").fill[:4] == pytest.approx([column.mean() for column in known])
    assert T.FeatureDropout.fit(DATA).fill[:4] == (None,) * 4
    assert T.FeatureDropout.fit(DATA, fill=-1).fill[:4] == (-1,) * 4
    most = stats.mode(DATA.categorical[:, 1].numpy()).mode
    assert T.FeatureDropout.fit(DATA).fill[4:] == (3, most)  # the code of None, or else the most frequent one
    mixup = T.MixUp.fit(DATA)
    assert (mixup.numeric, mixup.num_classes) == (4, 2)


def test_columns_without_numbers_or_of_nothing_are_fitted() -> None:
    none = torch.full((3, 1), math.nan, dtype=torch.float64)
    data = TableDataset(none, torch.zeros(3, 0, dtype=torch.int64), COLUMNS[:1])
    assert T.GaussianNoise.fit(data).std == (0.0,)
    assert T.FeatureDropout.fit(data, fill="mean").fill == (0.0,)
    codes = TableDataset(torch.zeros(3, 0, dtype=torch.float64), torch.zeros(3, 2, dtype=torch.int64), COLUMNS[4:])
    out = Compose([T.GaussianNoise.fit(codes), T.SwapNoise.fit(codes), T.MixUp.fit(codes)])(torch.zeros(3, 2))
    assert torch.equal(out, torch.zeros(3, 2))


def drawn_lambda(mixup: T.MixUp, batch: Batch) -> tuple[Tensor, Tensor]:
    params = mixup.draw(batch)
    u = params.u[:, 1:]
    shares = torch.tensor([mixup.describe(params, i)[0]["lambda"] for i in range(len(batch))])
    return shares, mixup.partners(u)


def test_mixup_is_its_formula() -> None:
    count = 3000
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(count, 2, generator=generator)
    codes = torch.arange(count).float()[:, None].expand(-1, 2)
    batch = Batch(
        table=torch.cat([numbers, codes], 1),
        label=torch.randint(0, 3, (count,), generator=generator),
        weight=torch.rand(count, generator=generator),
        key=sample_keys(torch.arange(count)),
    )
    mixup = T.MixUp(2, alpha=0.7, num_classes=3)
    out = mixup(batch)
    shares, partner = drawn_lambda(mixup, batch)
    assert (partner != torch.arange(count)).all()
    assert stats.kstest(shares.numpy(), "beta", (0.7, 0.7)).pvalue > 1e-3
    share = shares[:, None]
    torch.testing.assert_close(out.table[:, :2], share * numbers + (1 - share) * numbers[partner])
    hot = torch.nn.functional.one_hot(batch.label, 3).float()
    torch.testing.assert_close(out.label, share * hot + (1 - share) * hot[partner])
    torch.testing.assert_close(out.weight, shares * batch.weight + (1 - shares) * batch.weight[partner])
    own = out.table[:, 2:] == codes
    assert (own | (out.table[:, 2:] == codes[partner])).all()
    for low in (0.0, 0.25, 0.5, 0.75):
        some = (shares >= low) & (shares < low + 0.25)
        for column in own[some].T:
            expected = float(shares[some].mean())
            assert abs(float(column.float().mean()) - expected) < 4 * math.sqrt(0.25 / int(some.sum()))
    assert 0.02 < (own[:, 0] != own[:, 1]).float().mean() < 0.5  # each category by a coin of its own


def test_mixup_takes_a_number_that_one_row_lacks_from_either() -> None:
    table = torch.tensor([[math.nan], [2.0]]).repeat(2000, 1)
    batch = Batch(table=table, key=sample_keys(torch.arange(4000)))
    mixup = T.MixUp(1)
    out = mixup(batch).table[:, 0]
    shares, partner = drawn_lambda(mixup, batch)
    one = table[:, 0].isnan() != table[partner, 0].isnan()
    own = out.isnan() == table[:, 0].isnan()
    assert set(out[~out.isnan()].tolist()) == {2.0}
    assert abs(float(own[one].float().mean()) - float(shares[one].mean())) < 0.05
    assert own[~one].all()


def test_mixup_mixes_targets_of_a_regression() -> None:
    batch = Batch(table=torch.arange(5.0)[:, None], label=torch.arange(5.0) * 2, key=sample_keys(torch.arange(5)))
    out = T.MixUp(1)(batch)
    torch.testing.assert_close(out.label, out.table[:, 0] * 2)


@given(seed=st.integers(0, 2**40), count=st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_no_transform_invents_a_category_or_moves_a_column(seed: int, count: int) -> None:
    batch = Batch(table=rows(count), key=sample_keys(torch.arange(count), seed=seed))
    for transform in (MIXING["swap"], MIXING["mixup"]):
        out = transform(batch).table
        for column in range(6):
            values = batch.table[:, column]
            known = values[~values.isnan()]
            if column >= NUMBERS:
                assert torch.isin(out[:, column], values).all()
            elif len(known):
                found = out[:, column][~out[:, column].isnan()]
                assert ((found >= known.min() - 1e-4) & (found <= known.max() + 1e-4)).all()


def test_dense_uniforms_are_uniform_and_those_of_any_shape() -> None:
    from torchaug.keys import dense_uniforms

    u = uniforms(sample_keys(torch.arange(50)), 2)
    field = dense_uniforms(u, (40, 7))
    assert stats.kstest(field.flatten().numpy(), "uniform").pvalue > 1e-3
    assert torch.equal(dense_uniforms(u, (90, 9))[:, :40, :7], field)
    assert torch.equal(dense_uniforms(u[3:4], (40, 7))[0], field[3])


WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "std": (lambda: T.GaussianNoise([1.0, -1.0]), "std must be finite and at least 0"),
    "std_nan": (lambda: T.GaussianNoise([math.nan]), "std must be finite"),
    "sigma": (lambda: T.GaussianNoise([1.0], sigma=-1), "sigma must be"),
    "chance": (lambda: T.SwapNoise(3, chance=1.5), "chance must be"),
    "chances": (lambda: T.SwapNoise(3, chance=(0.1, 0.2)), "one or 3, one for each column"),
    "width": (lambda: T.SwapNoise(0), "width must be"),
    "fill": (lambda: T.FeatureDropout(["a"]), "fill must be a finite number or None"),
    "fill_none": (lambda: T.FeatureDropout([]), "FeatureDropout.fit"),
    "fill_word": (lambda: T.FeatureDropout.fit(DATA, fill="median"), "'missing', 'mean' or a number"),
    "alpha": (lambda: T.MixUp(2, alpha=0), "alpha must be"),
    "numeric": (lambda: T.MixUp(-1), "numeric must be"),
    "p": (lambda: T.SwapNoise(3, p=2), "p must be a chance"),
    "other_width": (lambda: T.SwapNoise(3)(rows()), "table must have 3 columns, as the one it was made for, got 6"),
    "fewer": (lambda: T.GaussianNoise([1.0] * 7)(rows()), "table must have at least 7 columns"),
    "fewer_mixed": (lambda: T.MixUp(7)(rows()), "at least 7 columns"),
    "classes": (lambda: T.MixUp(2)(rows(), torch.zeros(6, dtype=torch.int64)), "num_classes"),
    "three_axes": (lambda: T.SwapNoise(3)({"table": torch.zeros(2, 3, 4)}), r"table must be \(B, columns\)"),
}


@pytest.mark.parametrize(("wrong", "text"), WRONG.values(), ids=WRONG)
def test_misuse_is_told(wrong: Callable[[], object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        wrong()


def test_a_table_must_be_there_and_hold_codes_exactly() -> None:
    with pytest.raises(TypeError, match="expected a table among the inputs"):
        T.SwapNoise(3)(torch.zeros(4, dtype=torch.int64))
    with pytest.raises(TypeError, match="SwapNoise: expected a table"):
        T.SwapNoise(3)(Batch(image=torch.zeros(1, 3, 4, 4)))
    with pytest.raises(TypeError, match=r"table must be float32 or float64.*table\.float\(\)"):
        T.SwapNoise(3)(torch.zeros(4, 3, dtype=torch.bfloat16))
    with pytest.raises(TypeError, match="expected an image among the inputs"):
        Compose([Lambda(lambda batch: batch)])(torch.zeros(4, 3))


@pytest.mark.parametrize("name", tabular.__all__)
def test_every_public_name_documents_itself(name: str) -> None:
    kind = getattr(tabular, name)
    assert kind.__doc__
    if kind is T.Table:
        return
    for argument in inspect.signature(kind).parameters:
        assert argument in kind.__doc__, argument
    assert ">>>" in kind.__doc__


def test_the_zoo_has_every_public_transform() -> None:
    kinds = {getattr(tabular, name) for name in tabular.__all__}
    wanted = {kind for kind in kinds if issubclass(kind, Layer) and not inspect.isabstract(kind)}
    assert {type(leaf) for layer in EVERY.values() for leaf in layer.leaves()} == wanted


@pytest.mark.gpu
@every(EVERY)
def test_cpu_and_cuda_agree_without_a_wait(transform: Layer) -> None:
    batch = labelled()
    transform(batch.to("cuda"))
    torch.cuda.set_sync_debug_mode("error")
    try:
        out = transform(batch.to("cuda", non_blocking=True))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert_same(out.to("cpu"), transform(batch), atol=1e-4)

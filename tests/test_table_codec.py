"""The codec of tables: what comes back, which encoding a column gets, and that a checkpoint rebuilds it."""

from __future__ import annotations

import datetime
import io
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, rankdata

from torchaug.data import Column, TableDataset, breast_cancer, wine
from torchaug.models.mixture import fit_mixture, peaks
from torchaug.models.table_codec import Block, TableCodec
from torchaug.models.table_columns import ChoiceColumn, NumberColumn

NAN = math.nan
NUMBERS = st.floats(-1e12, 1e12).filter(lambda x: abs(x) > 1e-90)  # the squares of smaller ones vanish


def table(numeric: Any = (), categorical: Any = (), **columns: Any) -> TableDataset:
    """A table of columns by name: floats are numeric, the rest are codes."""
    numbers = {name: np.asarray(values, float) for name, values in columns.items() if np.asarray(values).dtype == float}
    codes = {name: np.asarray(values) for name, values in columns.items() if name not in numbers}
    kinds = [
        Column(name, "numeric") if np.isnan(values).all() else Column.of_numbers(name, values)
        for name, values in numbers.items()
    ] + [Column(name, "categorical", tuple(map(str, range(values.max() + 1)))) for name, values in codes.items()]
    rows = len(next(iter(columns.values())))
    of_numbers = torch.from_numpy(np.stack([*numbers.values()], 1)) if numbers else torch.zeros(rows, 0).double()
    return TableDataset(
        of_numbers, torch.from_numpy(np.stack([*codes.values()], 1)) if codes else torch.zeros(rows, 0).long(), kinds
    )


def back(codec: TableCodec, data: TableDataset) -> tuple[torch.Tensor, torch.Tensor]:
    return codec.decode(codec.encode(data.numeric, data.categorical))


@given(
    values=st.lists(NUMBERS | st.just(NAN) | st.sampled_from([0.0, 3.0]), min_size=1, max_size=60),
    encoding=st.sampled_from(["auto", "quantile", "modes", "standard"]),
    data=st.data(),
)
def test_any_numbers_come_back(values: list[float], encoding: str, data: st.DataObject) -> None:
    codes = data.draw(st.lists(st.integers(0, 3), min_size=len(values), max_size=len(values)))
    made = table(x=np.array(values, float), kind=np.array(codes))
    codec = TableCodec.fit(made, encoding=encoding)
    encoded = codec.encode(made.numeric, made.categorical)
    assert encoded.shape == (len(values), codec.width)
    assert encoded.dtype == torch.float32
    assert encoded.isfinite().all()
    numeric, categorical = codec.decode(encoded)
    assert torch.equal(categorical, made.categorical)
    there = made.numeric[~made.numeric.isnan()]
    assert torch.equal(numeric.isnan(), made.numeric.isnan())
    spread = float(there.max() - there.min()) if len(there) else 0.0
    allowed = (
        0.0
        if encoding in ("auto", "quantile")
        else 1e-6 * spread + 1e-15 * float(there.abs().max() if len(there) else 0)
    )
    assert ((numeric - made.numeric).nan_to_num().abs() <= allowed).all()


@given(
    start=st.integers(-(10**9), 10**9),
    steps=st.lists(st.integers(0, 10**5), min_size=1, max_size=40),
    decimals=st.integers(0, 4),
    encoding=st.sampled_from(["auto", "quantile", "modes", "standard"]),
)
def test_whole_numbers_and_decimals_come_back_exactly(
    start: int, steps: list[int], decimals: int, encoding: str
) -> None:
    values = np.array([(start + step) / 10**decimals for step in steps])
    data = table(x=values, kind=np.zeros(len(values), int))
    assert torch.equal(back(TableCodec.fit(data, encoding=encoding), data)[0], data.numeric)


@given(levels=st.integers(1, 4000), seed=st.integers(0, 99))
def test_every_category_comes_back_however_many_there_are(levels: int, seed: int) -> None:
    column = Column("c", "categorical", tuple(map(str, range(levels))))
    codes = torch.from_numpy(np.random.default_rng(seed).zipf(1.5, 500) % levels)
    fitted = ChoiceColumn.fit(column, codes)
    every = torch.arange(levels)
    encoded = fitted.encode(every)
    assert torch.equal(fitted.decode(encoded), every)
    assert encoded.shape[1] == sum(fitted.sizes)
    assert max(fitted.sizes) <= 50
    assert (encoded.sum(1) == len(fitted.sizes)).all()
    assert len(fitted.sizes) == (1 if levels <= 50 else 2 if levels <= 2500 else 3)
    noise = torch.randn(200, sum(fitted.sizes), generator=torch.Generator().manual_seed(seed))
    made = fitted.decode(noise)
    assert ((made >= 0) & (made < levels)).all()  # whatever a model says is a category


def test_the_first_digit_of_a_wide_column_says_how_common_a_level_is() -> None:
    column = Column("c", "categorical", tuple(map(str, range(100))))
    fitted = ChoiceColumn.fit(column, torch.tensor([90] * 9 + [7] * 5 + [3]))
    assert fitted.sizes == [10, 10]
    assert fitted.encode(torch.tensor([90, 7, 3])).argmax(1).tolist() == [0, 0, 0]
    assert fitted.encode(torch.tensor([90, 7, 3]))[:, 10:].argmax(1).tolist() == [0, 1, 2]


def test_quantile_normal_is_the_normal_of_the_ranks() -> None:
    values = np.random.default_rng(0).exponential(size=300).round(2)
    data = table(x=values)
    codec = TableCodec.fit(data, encoding="quantile")
    expected = norm.ppf((rankdata(values) - 0.5) / 300)
    assert np.allclose(codec.encode(data.numeric, data.categorical)[:, 0], expected, atol=1e-6)


def test_quantile_normal_is_monotone_and_keeps_the_range() -> None:
    values = np.concatenate(
        [np.random.default_rng(0).lognormal(size=100_000), np.full(300, 0.5)]
    )  # several are clipped
    codec = TableCodec.fit(table(x=values, y=values), encoding="quantile")
    grid = torch.linspace(-9, 9, 5001)
    decoded = codec.decode(grid[:, None].expand(-1, 2))[0][:, 0]
    assert (decoded.diff() >= 0).all()
    assert (float(decoded[0]), float(decoded[-1])) == (values.min(), values.max())
    beyond = codec.encode(torch.tensor([[-1e9, 1e9]] * 2).double(), torch.zeros(2, 0).long())
    assert beyond.tolist() == [[-4, 4]] * 2
    inside = torch.from_numpy(values)[:, None].expand(-1, 2)
    encoded = codec.encode(inside, torch.zeros(len(values), 0).long())
    assert (codec.decode(encoded)[0] - inside).abs().max() < 2e-5 * np.diff(np.sort(values)[-9:]).sum()
    assert abs(float(encoded.std()) - 1) < 0.01
    assert codec.config["numeric"][0]["knots"] <= 1003


def sdgym(name: str, rows: int, seed: int) -> torch.Tensor:
    """SDGym's simulated sets (Xu et al. 2019): Gaussians of variance 0.05 on a ring or a 5 x 5 grid, perhaps moved."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(-4, 5, 2.0)] * 2), -1).reshape(-1, 2)
    angle = np.arange(8) * np.pi / 4
    centers = np.stack([np.cos(angle), np.sin(angle)], 1) if name == "ring" else grid
    if name == "gridr":
        centers = centers + rng.uniform(-0.5, 0.5, centers.shape)
    picked = centers[rng.integers(len(centers), size=rows)]
    return torch.from_numpy(picked + rng.normal(scale=0.05**0.5, size=picked.shape))


@pytest.mark.parametrize("name", ["ring", "grid", "gridr"])
@pytest.mark.parametrize(("rows", "seed"), [(10_000, 0), (10_000, 1), (1000, 2)])
def test_auto_chooses_modes_where_there_are_many(name: str, rows: int, seed: int) -> None:
    values = sdgym(name, rows, seed).numpy()
    data = table(x=values[:, 0], y=values[:, 1])
    codec = TableCodec.fit(data)
    assert [each["encoding"] for each in codec.config["numeric"]] == ["modes", "modes"]
    assert all(3 <= each["modes"] <= 10 for each in codec.config["numeric"])
    encoded = codec.encode(data.numeric, data.categorical)
    for block in codec.blocks:
        part = encoded[:, block.slice]
        if block.kind == "number":
            assert abs(float(part.std()) - 1) < 0.02
        else:
            assert (part.sum(1) == 1).all()
            assert (part.sum(0) > 0).all()
    assert (codec.decode(encoded)[0] - data.numeric).abs().max() < 1e-6


@pytest.mark.parametrize("data", [breast_cancer(), wine()], ids=lambda data: data.name)
def test_auto_chooses_quantiles_on_small_tables_of_few_peaks(data: TableDataset) -> None:
    half = data.subset(torch.arange(0, len(data), 2))
    for part in (data, half):
        codec = TableCodec.fit(part)
        assert {each["encoding"] for each in codec.config["numeric"]} == {"quantile"}
        assert codec.width == data.numeric.shape[1]
        assert torch.equal(back(codec, part)[0], part.numeric)


def test_a_mixture_is_that_of_scikit_learn() -> None:
    from sklearn.mixture import GaussianMixture

    values = sdgym("grid", 5000, 3)[:, 0]
    weights, means, deviations = fit_mixture(values)
    reference = GaussianMixture(5, random_state=0, means_init=np.arange(-4, 5, 2.0)[:, None]).fit(
        values[:, None].numpy()
    )
    density = torch.distributions.Normal(means, deviations).log_prob(values[:, None]) + weights.log()
    assert float(density.logsumexp(1).mean()) > reference.score(values[:, None].numpy()) - 0.01
    assert float(weights.sum()) == pytest.approx(1)
    assert (means.diff() > 0).all()


def test_bic_finds_the_number_of_gaussians() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 2, 4):
        values = torch.from_numpy(rng.normal(size=2000) + 12 * rng.integers(count, size=2000))
        mixture = fit_mixture(values)
        assert mixture.shape == (3, count)
        assert peaks(mixture) == count
        assert np.allclose(mixture[1], 12 * np.arange(count), atol=0.3)


def test_a_step_of_whole_numbers_is_no_peak() -> None:
    assert peaks(fit_mixture(torch.arange(8.0).double().repeat(500))) == 1
    values = np.random.default_rng(0).poisson(9, 5000).astype(float)
    (column,) = TableCodec.fit(table(x=values)).config["numeric"]
    assert column["encoding"] == "quantile"


def test_a_frequent_value_is_as_wide_among_quantiles_as_it_is_frequent() -> None:
    values = np.concatenate([np.zeros(400), np.arange(1.0, 4.0).repeat([300, 200, 100])])
    codec = TableCodec.fit(table(x=values))
    z = np.linspace(-4, 4, 4001)
    numeric, _ = codec.decode(torch.from_numpy(z)[:, None].float())
    wanted = np.searchsorted([0.4, 0.7, 0.9], norm.cdf(z), side="right")
    assert np.mean(numeric[:, 0].numpy() != wanted) < 0.002
    middles = norm.ppf([0.2, 0.55, 0.8, 0.95])
    encoded = codec.encode(torch.arange(4.0).double()[:, None], torch.zeros(4, 0).long())
    assert np.allclose(encoded[:, 0], middles, atol=1e-6)


def test_atoms_constants_and_missing_values() -> None:
    rng = np.random.default_rng(0)
    spiked = np.where(rng.random(1000) < 0.4, 0.0, rng.lognormal(size=1000))
    gone = np.where(rng.random(1000) < 0.1, NAN, spiked)
    data = table(
        spiked=spiked, gone=gone, constant=np.full(1000, 7.25), none=np.full(1000, NAN),
        dose=rng.choice([1.0, 2.5], 1000), rest=np.where(rng.random(1000) < 0.01, 3.0, 1 / 3),
        few=np.where(rng.random(1000) < 0.5, NAN, 2.0),
    )  # fmt: skip
    codec = TableCodec.fit(data, encoding={"spiked": "standard"})
    of = {each["name"]: each for each in codec.config["numeric"]}
    sizes = [(block.name, block.kind, block.size) for block in codec.blocks]
    assert sizes == [
        ("spiked", "number", 1), ("spiked", "choice", 2), ("gone", "number", 1), ("gone", "choice", 2),
        ("dose", "choice", 2), ("rest", "choice", 2), ("few", "choice", 2),
    ]  # fmt: skip
    assert codec.state_dict()["numeric.0.atoms"].tolist() == [0.0]
    assert of["gone"]["missing"]
    assert not of["spiked"]["missing"]
    encoded = codec.encode(data.numeric, data.categorical)
    assert torch.equal(encoded[:, 2] == 1, data.numeric[:, 0] == 0)  # the choice says which rows are 0
    assert (encoded[data.numeric[:, 0] == 0, 0] == 0).all()
    assert abs(float(encoded[data.numeric[:, 0] != 0, 0].std()) - 1) < 0.01
    numeric, _ = codec.decode(encoded)
    assert torch.equal(numeric[:, 1:].nan_to_num(-1), data.numeric[:, 1:].nan_to_num(-1))
    assert np.allclose(numeric[:, 0], spiked, atol=1e-6)
    assert torch.equal(numeric[:, 0] == 0, data.numeric[:, 0] == 0)
    new = codec.encode(torch.tensor([[0.1, 0.1, 8.0, NAN, 2.0, 2.9, 2.2]]).double(), torch.zeros(1, 0).long())
    decoded = codec.decode(new)[0][0]
    assert decoded[[2, 4, 5, 6]].tolist() == [7.25, 2.5, 3.0, 2.0]  # what is left of a column are its own values
    assert decoded[3].isnan()


def test_nothing_that_a_model_says_is_out_of_range_or_off_the_grid() -> None:
    rng = np.random.default_rng(0)
    data = table(
        whole=rng.poisson(30, 500).astype(float), cents=rng.uniform(0, 9, 500).round(2),
        modes=(rng.integers(4, size=500) * 40 + rng.integers(9, size=500)).astype(float), kind=rng.integers(0, 5, 500),
    )  # fmt: skip
    for encoding in ("auto", "modes", "standard"):
        codec = TableCodec.fit(data, encoding=encoding)
        noise = 3 * torch.randn(2000, codec.width, generator=torch.Generator().manual_seed(0))
        numeric, codes = codec.decode(noise)
        made = codec.table(numeric, codes)
        assert torch.equal(numeric[:, 0], numeric[:, 0].round())
        assert torch.equal(numeric[:, 1], (numeric[:, 1] * 100).round() / 100)
        assert torch.equal(numeric[:, 2], numeric[:, 2].round())
        assert (numeric >= data.numeric.amin(0)).all()
        assert (numeric <= data.numeric.amax(0)).all()
        assert made.columns == data.columns
    assert TableCodec.fit(data).config["numeric"][2]["encoding"] == "modes"


@pytest.mark.parametrize("encoding", ["auto", "modes", "standard"])
def test_decoded_numbers_lie_on_the_grid_of_their_column(encoding: str) -> None:
    values = np.random.default_rng(0).integers(-30, 30, 500) * 86400e6 + 3600e6  # days at one o'clock, in microseconds
    data = table(x=values, y=np.arange(500.0))
    codec = TableCodec.fit(data, encoding=encoding)
    assert torch.equal(back(codec, data)[0][:, 0], data.numeric[:, 0])
    noise = 3 * torch.randn(2000, codec.width, generator=torch.Generator().manual_seed(0))
    made = codec.decode(noise)[0][:, 0]
    assert torch.equal(made % 86400e6, torch.full_like(made, 3600e6))
    assert (float(made.min()), float(made.max())) == (values.min(), values.max())
    again = TableCodec.from_config(json.loads(json.dumps(codec.config)))
    again.load_state_dict(codec.state_dict())
    assert torch.equal(again.decode(noise)[0][:, 0], made)


def test_a_codec_of_an_older_version_knows_no_grids() -> None:
    data = table(x=np.arange(1050.0, 9050.0, 100.0))
    codec = TableCodec.fit(data)
    config = json.loads(json.dumps(codec.config))
    assert config["numeric"][0].pop("grid") == [100, 50]
    assert config["table"]["table"]["columns"][0].pop("grid") == [100, 50]
    old = TableCodec.from_config(config)
    old.load_state_dict(codec.state_dict())
    noise = torch.linspace(-2, 2, 50)[:, None]
    assert (old.decode(noise)[0] - codec.decode(noise)[0]).abs().max() <= 50
    assert len((old.decode(noise)[0] % 100).unique()) > 1


def test_bounds_beside_the_grid_are_not_reached() -> None:
    column = replace(Column.of_numbers("x", np.arange(100.0, 2000.0, 100.0)), low=130.0, high=1970.0)
    fitted = NumberColumn.fit(column, torch.linspace(130, 1970, 1001).double(), "standard")
    made = fitted.decode(torch.linspace(-5, 5, 100)[:, None])
    assert (made % 100).tolist() == [0] * 100
    assert (float(made.min()), float(made.max())) == (200, 1900)


def test_an_encoding_may_be_named_for_each_column() -> None:
    values = np.random.default_rng(0).normal(size=(300, 3))
    data = table(a=values[:, 0], b=values[:, 1], c=values[:, 2])
    codec = TableCodec.fit(data, encoding={"a": "standard", "c": "modes"})
    assert [each["encoding"] for each in codec.config["numeric"]] == ["standard", "quantile", "modes"]
    encoded = codec.encode(data.numeric, data.categorical)
    expected = (values[:, 0] - values[:, 0].mean()) / values[:, 0].std()
    assert np.allclose(encoded[:, 0], expected, atol=1e-6)


def test_a_condition_is_exact_whatever_the_model_says() -> None:
    rng = np.random.default_rng(0)
    data = table(x=rng.normal(size=400), kind=rng.integers(0, 4, 400), city=rng.integers(0, 300, 400))
    codec = TableCodec.fit(data)
    noise = torch.randn(300, codec.width, generator=torch.Generator().manual_seed(0)) * 100
    for name, levels in (("kind", 4), ("city", 300)):
        codes = torch.arange(300) % levels
        forced = noise.clone()
        block = codec.choices[name]
        spelled = codec.spell(name, codes)
        assert spelled.shape == (300, block.size)
        forced[:, block.slice] = spelled
        assert torch.equal(codec.decode(forced)[1][:, list(codec.choices).index(name)], codes)
    assert codec.choices["kind"] in codec.blocks
    assert codec.choices["kind"] == Block("kind", "choice", 1, 4)
    assert codec.choices["city"].size < 50
    assert codec.code("kind", "2") == 2
    with pytest.raises(
        ValueError, match="column 'kind' must be one of '0', '1', '2', '3', got '9', which was not trained"
    ):
        codec.code("kind", "9")
    with pytest.raises(ValueError, match="expected a column of kind, city, got 'x'"):
        codec.code("x", "9")
    with pytest.raises(ValueError, match="expected a column of kind, city, got 'town'"):
        codec.spell("town", torch.zeros(1).long())


def mixed(rows: int = 600) -> TableDataset:
    rng = np.random.default_rng(0)
    return table(
        a=sdgym("grid", rows, 0)[:, 0].numpy(), b=np.where(rng.random(rows) < 0.3, NAN, rng.normal(size=rows)),
        c=np.where(rng.random(rows) < 0.3, 0.0, rng.lognormal(size=rows)), d=rng.normal(size=rows) * 1e6,
        kind=rng.integers(0, 4, rows), city=rng.integers(0, 300, rows),
    )  # fmt: skip


def test_a_checkpoint_without_pickle_rebuilds_it() -> None:
    data = mixed()
    codec = TableCodec.fit(data, encoding={"d": "standard"})
    file = io.BytesIO()
    torch.save({"config": codec.config, "state": codec.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    again = TableCodec.from_config(json.loads(json.dumps(saved["config"])))
    again.load_state_dict(saved["state"])
    encoded = codec.encode(data.numeric, data.categorical)
    assert torch.equal(again.encode(data.numeric, data.categorical), encoded)
    for one, other in zip(again.decode(encoded), codec.decode(encoded), strict=True):
        assert torch.equal(one.nan_to_num(), other.nan_to_num())
    assert (again.blocks, again.choices, again.columns, again.notes) == (
        codec.blocks, codec.choices, codec.columns, codec.notes,
    )  # fmt: skip
    assert json.dumps(TableCodec.fit(data, encoding={"d": "standard"}).config) == json.dumps(codec.config)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_model_in_low_precision_keeps_its_codec(dtype: torch.dtype) -> None:
    data = mixed()
    codec = TableCodec.fit(data)
    encoded = codec.encode(data.numeric, data.categorical)
    model = torch.nn.Sequential(codec, torch.nn.Linear(2, 2)).to(dtype)
    assert model[1].weight.dtype == dtype
    assert torch.equal(codec.encode(data.numeric, data.categorical), encoded)
    assert codec.decode(encoded.to(dtype))[0].dtype == torch.float64


def test_ids_are_noted_and_encoded() -> None:
    rng = np.random.default_rng(0)
    data = table(id=np.arange(1000.0) + 10**9, amount=rng.normal(size=1000), name=rng.permutation(1000))
    codec = TableCodec.fit(data)
    assert codec.notes == [
        "column 'id': each of 1000 values occurs once, as in an id; perhaps drop it",
        "column 'name': each of 1000 values occurs once, as in an id; perhaps drop it",
    ]
    assert codec.width < 75
    numeric, codes = back(codec, data)
    assert torch.equal(numeric[:, 0], data.numeric[:, 0])
    assert torch.equal(codes, data.categorical)


@pytest.mark.parametrize("encoding", ["auto", "quantile", "modes", "standard"])
def test_ten_rows_will_do(encoding: str) -> None:
    rng = np.random.default_rng(0)
    data = table(x=rng.normal(size=10).round(3), y=np.array([0.0] * 6 + [1.5, 2, 3, NAN]), kind=rng.integers(0, 3, 10))
    codec = TableCodec.fit(data, encoding=encoding)
    numeric, codes = back(codec, data)
    assert torch.equal(numeric.nan_to_num(-9), data.numeric.nan_to_num(-9))
    assert torch.equal(codes, data.categorical)


@pytest.mark.parametrize("values", [[-1.7e308, 1.7e308, 0.1, 3e-300], [0.0, 3e-300, 5e-300]])
@pytest.mark.parametrize("times", [1, 300])
def test_numbers_at_the_ends_of_float64(values: list[float], times: int) -> None:
    spread = 1 + 1e-9 * np.arange(times)[:, None]  # many different values
    data = table(x=(np.array(values) / 2 * spread).flatten())
    for encoding in ("auto", "quantile"):
        numeric, _ = back(TableCodec.fit(data, encoding=encoding), data)
        assert torch.allclose(numeric, data.numeric, rtol=1e-6, atol=0)
    with pytest.raises(ValueError, match="column 'x': encoding 'modes' needs a deviation that float64 holds"):
        TableCodec.fit(data, encoding="modes")


@pytest.mark.parametrize("ending", ["", ".000000", ".000000000"])  # the last is how older versions spelled it
def test_a_time_names_its_category(ending: str) -> None:
    days = [f"2024-12-0{day} 00:00:00{ending}" for day in (5, 6)]
    codes = torch.tensor([[0], [1], [1]])
    columns = [Column("d", "categorical", tuple(days)), Column("t", "categorical", ("False", "True"))]
    codec = TableCodec.fit(TableDataset(torch.zeros(3, 0).double(), codes.repeat(1, 2), columns))
    day = datetime.datetime(2024, 12, 6)
    for value in (day, pandas.Timestamp(day), np.datetime64(day, "ns"), str(day), "2024-12-06T00:00:00", days[1]):
        assert codec.code("d", value) == 1
    assert [codec.code("t", value) for value in (True, "true", "True", np.True_)] == [1] * 4
    with pytest.raises(ValueError, match="column 'd' must be one of"):
        codec.code("d", datetime.datetime(2024, 12, 6, 1))


def test_what_is_refused() -> None:
    data = table(x=np.array([1.0, 2, 4]), y=np.array([1.0, NAN, 4]), kind=np.array([0, 1, 1]))
    codec = TableCodec.fit(data)
    numeric, codes = data.numeric.clone(), data.categorical.clone()
    bad = TableDataset(numeric.index_fill(0, torch.tensor([2]), math.inf), codes, data.columns)
    with pytest.raises(ValueError, match="column 'x': expected finite numbers or NaN, got inf at index 2; infinity"):
        TableCodec.fit(bad)
    with pytest.raises(
        ValueError, match="column 'x': expected finite numbers, got nan at index 1; missing values, which"
    ):
        codec.encode(torch.tensor([[1.0, NAN], [NAN, 1]]).double(), codes[:2])
    with pytest.raises(ValueError, match="column 'y': expected finite numbers or NaN, got -inf at index 0"):
        codec.encode(torch.tensor([[1.0, -math.inf]]).double(), codes[:1])
    with pytest.raises(ValueError, match=r"column 'kind': labels must be in \[0, 2\)"):
        codec.encode(numeric, codes + 1)
    with pytest.raises(ValueError, match=r"numeric must be \(B, 2\) torch.float64, got \(3, 2\) torch.float32"):
        codec.encode(numeric.float(), codes)
    with pytest.raises(ValueError, match=r"categorical must be \(B, 1\) torch.int64, got \(2, 1\)"):
        codec.encode(numeric, codes[:2])
    with pytest.raises(ValueError, match=rf"encoded rows must be \(B, {codec.width}\), got \(3, 1\)"):
        codec.decode(torch.zeros(3, 1))
    with pytest.raises(
        ValueError, match=r"encoding must be one of auto, quantile, modes, standard, .* got 'x': 'mode'"
    ):
        TableCodec.fit(data, encoding="mode")
    with pytest.raises(ValueError, match=r"numeric columns \(x, y\), got 'kind': 'modes'"):
        TableCodec.fit(data, encoding={"kind": "modes"})
    with pytest.raises(ValueError, match="expected a column whose values differ in 'table', got constant ones"):
        TableCodec.fit(table(x=np.ones(4)))


@pytest.mark.gpu
def test_the_device_encodes_and_decodes_as_the_cpu_does() -> None:
    data = mixed()
    codec = TableCodec.fit(data)
    encoded = codec.encode(data.numeric, data.categorical)
    numeric, codes = codec.decode(encoded)
    codec = codec.cuda()
    got = codec.encode(data.numeric.cuda(), data.categorical.cuda()).cpu()
    assert (got - encoded).abs().max() <= 1e-6
    on_device = codec.decode(encoded.cuda())
    assert (on_device[0].cpu() - numeric).nan_to_num().abs().max() <= 1e-9
    assert torch.equal(on_device[0].cpu().isnan(), numeric.isnan())
    assert torch.equal(on_device[1].cpu(), codes)

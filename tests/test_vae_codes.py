from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from torchaug.keys import sample_keys, uniforms
from torchaug.models.networks import seeded_weights
from torchaug.models.quantizer import CodePrior, Quantizer
from torchaug.models.vq import ImageVQVAE

LABELS, KEYS = torch.tensor([0, 1, 2, 1, 0]), sample_keys(torch.arange(5))


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tiny(**options: object) -> ImageVQVAE:
    with seeded_weights(0):
        return ImageVQVAE(1, 8, 8, num_classes=3, **{"codes": 9, "code_size": 3, "levels": 17, **options})  # type: ignore[arg-type]


def images(count: int = 5, seed: int = 0) -> Tensor:
    return (torch.rand(count, 1, 8, 8, generator=generator(seed)) * 16).round() / 16


# The codebook


def used(vectors: Tensor, codes: int = 4) -> Quantizer:
    quantizer = Quantizer(codes, vectors.shape[1])
    for step in range(3):
        quantizer.update(vectors, quantizer.nearest(vectors), sample_keys(torch.arange(1), seed=step))
    return quantizer


def test_the_nearest_code_is_that_of_a_loop() -> None:
    quantizer = used(torch.randn(50, 3, generator=generator(0)), codes=7)
    vectors = torch.randn(2, 5, 3, generator=generator(1))
    for b, place in itertools.product(range(2), range(5)):
        distances = [float((vectors[b, place] - code).norm()) for code in quantizer.codebook]
        assert int(quantizer.nearest(vectors)[b, place]) == distances.index(min(distances))
    assert torch.equal(
        quantizer.vectors(quantizer.nearest(vectors))[1, 2], quantizer.codebook[quantizer.nearest(vectors)[1, 2]]
    )


def test_codes_move_to_the_mean_of_their_vectors_as_an_average_does() -> None:
    quantizer = Quantizer(2, 1, decay=0.9)
    quantizer.codebook.copy_(torch.tensor([[0.0], [10.0]]))
    quantizer.counts.fill_(4.0)
    quantizer.sums.copy_(4 * quantizer.codebook)
    vectors = torch.tensor([[1.0], [3.0], [12.0]])
    quantizer.update(vectors, quantizer.nearest(vectors), KEYS)
    torch.testing.assert_close(quantizer.counts, torch.tensor([0.9 * 4 + 0.1 * 2, 0.9 * 4 + 0.1 * 1]))
    expected = torch.tensor([[(0.1 * 4) / 3.8], [(0.9 * 40 + 0.1 * 12) / 3.7]])
    torch.testing.assert_close(quantizer.codebook, expected)


def test_dead_codes_start_again_at_vectors_of_the_batch_chosen_by_the_key() -> None:
    vectors = torch.randn(40, 2, generator=generator(0))
    quantizer = used(vectors, codes=8)
    quantizer.codebook[5:] = 1000.0
    quantizer.counts[5:] = 0.0
    quantizer.sums[5:] = 0.0
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    found = []
    for key in (1, 1, 2):
        quantizer.load_state_dict(before)
        quantizer.update(vectors, quantizer.nearest(vectors), torch.tensor([key]))
        found.append(quantizer.codebook[5:].clone())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert ((found[0][:, None] - vectors).norm(dim=2).min(1).values < 1e-5).all()


def test_all_codes_are_used_soon() -> None:
    vectors = torch.randn(500, 2, generator=generator(0))
    quantizer = Quantizer(16, 2)
    for step in range(30):
        quantizer.update(vectors, quantizer.nearest(vectors), torch.tensor([step]))
    codes = quantizer.nearest(vectors)
    assert len(codes.unique()) == 16
    assert (vectors - quantizer.vectors(codes)).square().mean() < 0.2 * vectors.var()


def test_a_codebook_needs_codes() -> None:
    with pytest.raises(
        ValueError, match=r"codes must be at least 2, size at least 1 and decay in \[0, 1\), got 1, 3, 0.99"
    ):
        Quantizer(1, 3)


# The prior over codes


def prior() -> CodePrior:
    with seeded_weights(2):
        found = CodePrior(codes=3, places=3, num_classes=2, hidden=8).double()
    with torch.no_grad():
        for weight in found.parameters():
            weight.mul_(2)  # else all codes are about as likely
    return found


def test_probabilities_of_all_code_grids_sum_to_one_for_each_class() -> None:
    every = torch.tensor(list(itertools.product(range(3), repeat=3)))
    for label in (0, 1):
        probabilities = prior().log_prob(every, torch.full((27,), label)).exp()
        assert probabilities.sum().item() == pytest.approx(1, rel=1e-9)


def test_samples_come_as_often_as_their_probability_says() -> None:
    every = torch.tensor(list(itertools.product(range(3), repeat=3)))
    labels = torch.ones(20_000, dtype=torch.int64)
    found = prior().sample(labels, uniforms(sample_keys(torch.arange(20_000)), 3))
    expected = prior().log_prob(every, labels[:27]).exp()
    shares = (found @ torch.tensor([9, 3, 1])).bincount(minlength=27) / 20_000
    error = (expected * (1 - expected) / 20_000).sqrt()
    assert ((shares - expected).abs() < 4.5 * error).all()
    assert expected.max() > 3 * expected.min()


def test_a_low_temperature_gives_the_likeliest_codes() -> None:
    model, labels = prior(), torch.zeros(50, dtype=torch.int64)
    cold = model.sample(labels, uniforms(sample_keys(torch.arange(50)), 3), temperature=1e-4)
    assert len(cold.unique(dim=0)) == 1
    first = [
        sum(model.log_prob(torch.tensor([[code, a, b]]), labels[:1]).exp().item() for a in range(3) for b in range(3))
        for code in range(3)
    ]
    assert int(cold[0, 0]) == first.index(max(first))


# The whole


def test_gradients_pass_the_codes_as_if_they_were_not_there() -> None:
    vae = tiny().double()
    vae.loss(images().double(), LABELS, KEYS)
    vae.eval()  # the codebook stays
    vectors = vae.vectors(images().double(), LABELS).detach().requires_grad_()
    codes = vae.encode(images().double(), LABELS)
    chosen = vae.quantizer.vectors(codes).clone().requires_grad_()
    likelihood = -vae.pixels(vae._logits(chosen, LABELS), images().double()).mean()
    (expected,) = torch.autograd.grad(likelihood, chosen)
    vae.vectors = lambda *_: vectors  # type: ignore[method-assign]
    loss, parts = vae.loss(images().double(), LABELS, KEYS)
    (found,) = torch.autograd.grad(loss, vectors)
    commitment = 0.25 * 2 * (vectors - chosen) / 5
    torch.testing.assert_close(found, expected + commitment.detach())
    torch.testing.assert_close(loss, parts["reconstruction"] + 0.25 * parts["commitment"] + parts["prior"])


def test_evaluation_leaves_the_codebook_alone_and_training_moves_it() -> None:
    vae = tiny()
    vae.loss(images(), LABELS, KEYS)
    before = vae.quantizer.codebook.clone()
    vae.eval().loss(images(), LABELS, KEYS)
    assert torch.equal(vae.quantizer.codebook, before)
    vae.train().loss(images(), LABELS, KEYS)
    assert not torch.equal(vae.quantizer.codebook, before)


def trained() -> ImageVQVAE:
    vae, pixels = tiny(), (images() > 0.5).float()
    optimizer = torch.optim.Adam(vae.parameters(), 1e-2)
    for step in range(60):
        loss, _ = vae.loss(pixels, LABELS, sample_keys(torch.arange(5), epoch=step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return vae.eval()


def test_it_learns_a_few_images_and_samples_them() -> None:
    vae, pixels = trained(), (images() > 0.5).float()
    assert ((vae.decode(vae.encode(pixels, LABELS), LABELS) > 0.5) == (pixels > 0.5)).float().mean() > 0.95
    labels = torch.tensor([2] * 6)  # the class of one image
    made = vae.generate(labels, sample_keys(torch.arange(6)))
    assert ((made > 0.5) == (pixels[2] > 0.5)).float().mean() > 0.9
    assert (vae.score(pixels, LABELS) > vae.score(1 - pixels, LABELS)).all()


def test_a_sample_is_a_function_of_its_row_and_of_no_global_state() -> None:
    vae, before = tiny().double(), torch.get_rng_state()
    vae.quantizer.codebook.normal_(generator=generator(0))
    together = vae.generate(LABELS, KEYS)
    for i in range(5):
        assert torch.equal(vae.generate(LABELS[i : i + 1], KEYS[i : i + 1])[0], together[i])
    assert torch.equal(before, torch.get_rng_state())
    torch.testing.assert_close(together * 16, (together * 16).round())
    assert len(together.flatten(1).unique(dim=0)) == 5
    with pytest.raises(ValueError, match="temperature must be above 0, got 0"):
        vae.generate(LABELS, KEYS, temperature=0)
    with pytest.raises(ValueError, match="labels must be 0 to 2, got 3 at 0"):
        vae.generate(torch.tensor([3]), KEYS[:1])


def test_the_score_is_the_logarithm_of_a_part_of_the_probability() -> None:
    with seeded_weights(1):
        vae = ImageVQVAE(1, 2, 2, 1, codes=2, code_size=2, likelihood="bernoulli", levels=2).double().eval()
    vae.quantizer.codebook.normal_(generator=generator(0))
    pixels, zeros = torch.tensor([[0.0, 1, 1, 0]]).double().view(1, 1, 2, 2), torch.zeros(1, dtype=torch.int64)
    every = torch.tensor(list(itertools.product(range(2), repeat=4)))
    with torch.no_grad():
        given = vae.pixels(vae._logits(vae.quantizer.vectors(every), zeros.expand(16)), pixels)
        joint = given + vae.prior.log_prob(every, zeros.expand(16))
    score = vae.score(pixels, zeros)
    assert torch.isclose(joint, score).any()
    assert score < joint.logsumexp(0)


@pytest.mark.parametrize("shape", [(3, 5, 9), (1, 13, 20), (2, 1, 8)])
def test_any_channel_count_and_size_goes_in_and_comes_out(shape: tuple[int, int, int]) -> None:
    vae = ImageVQVAE(*shape, num_classes=1)
    zeros = torch.zeros(2, dtype=torch.int64)
    assert vae.generate(zeros, KEYS[:2]).shape == (2, *shape)
    assert vae.loss(torch.rand(2, *shape), zeros, KEYS[:2])[0].isfinite()

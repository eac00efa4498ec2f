"""Diffusion methods: one step, chains, and the hooks that others are made with."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.methods.scenes import blob_batch, built, pick, tiny, train
from unlesion.errors import BadInput
from unlesion.methods.base import InputSpec, StepContext
from unlesion.methods.batch import Batch
from unlesion.methods.diffusion.anoddpm import AnoDDPM
from unlesion.methods.diffusion.ddpm import DDPM, DiffusionNetwork, to_grey, to_signal
from unlesion.methods.rates import constant, cosine
from unlesion.methods.registry import describe
from unlesion.networks.diffusion.noise import Noise
from unlesion.networks.diffusion.unet import DiffusionUNet


class Asked(nn.Module):
    """A U-Net that keeps what it was asked and answers by a function."""

    def __init__(self, answer: Any = lambda noisy, times: noisy) -> None:
        super().__init__()
        self.answer = answer
        self.rows: list[int] = []
        self.times: list[int] = []
        self.seen: list[Tensor] = []

    def forward(self, noisy: Tensor, times: Tensor, context: Tensor | None = None) -> Tensor:
        self.rows.append(len(noisy))
        self.times += times.tolist()
        self.seen.append(noisy)
        found: Tensor = self.answer(noisy, times)
        return found


def network_of(unet: nn.Module) -> DiffusionNetwork:
    return DiffusionNetwork(unet)  # type: ignore[arg-type]


def context(seed: int = 0) -> StepContext:
    return StepContext(generator=torch.Generator().manual_seed(seed), progress=0.0, step=0)


def test_paper_presets_have_their_sizes() -> None:
    assert describe("ddpm")["presets"]["paper"]["parts"] == {"unet": 37_513_857}
    method = AnoDDPM(AnoDDPM.config_for("paper"), InputSpec(size=256))
    assert method.config.unet_settings(method.spec)["attention"] == (3, 4, 5)
    with torch.device("meta"):
        unet = method.unet()
    # Of 256 channels each, in 256 and 512.
    heads = {module.heads for module in unet.modules() if hasattr(module, "heads")}
    assert heads == {1, 2}
    assert float(method.process.schedule.kept[0]) == pytest.approx(1 - 1e-4)


def test_grey_values() -> None:
    grey = torch.tensor([0.0, 0.5, 1.0, 1.5])
    assert to_signal(grey).tolist() == [-1.0, 0.0, 1.0, 2.0]
    assert torch.equal(to_grey(to_signal(grey)), grey)
    tissue = (0.1, 0.75)
    torch.testing.assert_close(
        to_signal(torch.tensor([0.1, 0.425, 0.75]), tissue), torch.tensor([-1.0, 0.0, 1.0])
    )
    torch.testing.assert_close(to_grey(to_signal(grey, tissue), tissue), grey)


def test_the_scale_of_grey_values_is_undone() -> None:
    """What the network answers stands for the same grey value, whatever the scale; noise weighs less on a smaller one."""
    batch = blob_batch(2)
    for sampler in ("one-step", "ddim"):
        drawn = []
        for grey in ((0.0, 1.0), (0.1, 0.75)):
            method = tiny("ddpm", grey=grey, sampler=sampler, t_test=(10,), steps=2)
            network = built(method)
            # Sees the clean image itself.
            network.unet.forward = lambda noisy, times, context=None, g=grey: to_signal(0.5 * batch.images, g)  # type: ignore[method-assign]
            drawn.append(method.explain(network, batch).healthy)
        torch.testing.assert_close(drawn[0], drawn[1])
    with pytest.raises(ValueError, match="darker grey value first"):
        DDPM.config_for("tiny", {"grey": (1.0, 0.0)})


@pytest.mark.parametrize("target", ["x0", "eps", "v"])
@pytest.mark.parametrize("loss", ["l1", "l2"])
def test_a_network_that_knows_the_answer_has_no_loss(target: str, loss: str) -> None:
    method = tiny("ddpm", target=target, loss=loss, noise="gaussian")
    assert isinstance(method, DDPM)
    batch = blob_batch(8)
    clean = to_signal(batch.images)

    def answer(noisy: Tensor, times: Tensor) -> Tensor:
        noise = method.process.noise_of(clean, noisy, times)
        return method.process.wanted(clean, noise, times)

    unet = Asked(answer)
    assert float(method.denoising_loss(network_of(unet), batch, context())["loss"]) < 1e-4
    assert min(unet.times) >= 0 and max(unet.times) < 1000 and len(set(unet.times)) > 5


def test_the_loss_is_the_mean_over_the_roi() -> None:
    method = tiny("ddpm")
    assert isinstance(method, DDPM)
    batch = blob_batch(4)
    unet = Asked(lambda noisy, times: torch.zeros_like(noisy))
    expected = to_signal(batch.images)[batch.roi].abs().mean()
    loss = method.denoising_loss(network_of(unet), batch, context())["loss"]
    torch.testing.assert_close(loss, expected)


def test_levels_of_training_end_where_they_should() -> None:
    method = tiny("ddpm", train_levels=3, t_test=(3,))
    assert isinstance(method, DDPM)
    unet = Asked()
    method.denoising_loss(network_of(unet), blob_batch(64), context())
    assert set(unet.times) == {0, 1, 2}


def test_one_field_for_all_is_a_switch() -> None:
    batch = blob_batch(6)
    black = Batch(**{**vars(batch), "images": torch.zeros_like(batch.images)})
    for shared in (False, True):
        method = tiny("ddpm", shared_field=shared, train_levels=1, t_test=(1,))
        assert isinstance(method, DDPM)
        unet = Asked()
        method.denoising_loss(network_of(unet), black, context())
        method.explain(network_of(unet), black)
        for seen in unet.seen:
            assert bool((seen == seen[:1]).all()) == shared


def test_an_ensemble_is_one_batch_and_the_mean_of_its_levels() -> None:
    batch = blob_batch(5)
    network = built(tiny("ddpm"))
    train(tiny("ddpm"), network, batch, steps=3)
    single = []
    for level in (250, 500, 750):
        found = tiny("ddpm", t_test=(level,)).explain(network, batch).healthy
        assert found is not None
        single.append(found)
    together = tiny("ddpm", t_test=(250, 500, 750))
    found = together.explain(network, batch).healthy
    torch.testing.assert_close(found, torch.stack(single).mean(0), atol=2e-5, rtol=1e-4)
    unet = Asked()
    together.explain(network_of(unet), batch)
    assert unet.rows == [15]
    assert unet.times == [249] * 5 + [499] * 5 + [749] * 5


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(
    ("name", "sampler"), [("ddpm", "one-step"), ("ddpm", "ddim"), ("ddpm", "ancestral"), ("andi", "one-step")]
)
def test_a_level_named_again_gets_other_noise(name: str, sampler: str, shared: bool) -> None:
    batch = blob_batch(2)

    def drawn(*levels: int) -> Tensor:
        method = tiny(name, t_test=levels, sampler=sampler, steps=2, shared_field=shared)
        return method.redrawn(network_of(Asked()), batch)  # type: ignore[attr-defined]

    alone, twice = drawn(6), drawn(6, 6)
    assert torch.equal(twice[0], alone[0])
    assert not torch.allclose(twice[1], twice[0], atol=1e-3)


def test_images_without_roi_are_not_looked_at() -> None:
    batch = blob_batch(4)
    roi = batch.roi.clone()
    roi[1] = False
    emptied = Batch(**{**vars(batch), "roi": roi})
    network = built(tiny("ddpm"))
    train(tiny("ddpm"), network, batch, steps=2)
    unet = Asked()
    tiny("ddpm").explain(network_of(unet), emptied)
    assert unet.rows == [3]
    full, part = (tiny("ddpm").explain(network, case).healthy for case in (batch, emptied))
    assert full is not None and part is not None
    assert (part[1] == 0).all()
    torch.testing.assert_close(part[[0, 2, 3]], full[[0, 2, 3]], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("sampler", ["one-step", "ddim"])
def test_little_noise_gives_back_the_scan(sampler: str) -> None:
    """At level 1 a network that foretells no noise at all is wrong by next to nothing."""
    method = tiny("ddpm", target="eps", t_test=(1,), sampler=sampler)
    batch = blob_batch(3)
    found = method.explain(network_of(Asked(lambda noisy, times: torch.zeros_like(noisy))), batch).healthy
    assert found is not None
    torch.testing.assert_close(found, batch.images, atol=0.02, rtol=0)


def test_chains_ask_as_often_as_they_say() -> None:
    batch = blob_batch(3)
    for name, settings, asked in (
        ("anoddpm", {"steps": 25}, 25),
        ("anoddpm", {"sampler": "ancestral", "t_test": (40,)}, 40),
        ("anoddpm", {"sampler": "one-step"}, 1),
        ("ddpm", {"sampler": "ddim", "steps": 10, "t_test": (250, 500)}, 20),
    ):
        unet = Asked(lambda noisy, times: 0.1 * noisy)
        found = tiny(name, **settings).explain(network_of(unet), batch).healthy
        assert len(unet.rows) == asked
        assert found is not None
        # Chains keep to the recipe's grey values; what one step gives is left as it is.
        clipped = settings.get("sampler") != "one-step"
        assert not clipped or (float(found.min()) >= 0 and float(found.max()) <= 1.5)
    assert AnoDDPM.config_for("paper").model_dump()["steps"] == 25


@pytest.mark.parametrize("name", ["ddpm", "anoddpm"])
def test_the_new_noise_of_a_chain_is_of_the_kind_that_was_learnt(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    drawn: list[str] = []
    fields = Noise.fields

    def watched(self: Noise, *words: Any) -> torch.Tensor:
        drawn.append(self.kind)
        return fields(self, *words)

    monkeypatch.setattr(Noise, "fields", watched)
    unet = Asked(lambda noisy, times: 0.1 * noisy)
    tiny(name, sampler="ancestral", t_test=(5,)).explain(network_of(unet), blob_batch(2))
    assert len(drawn) > 2 and set(drawn) == {"simplex"}
    assert tiny(name, sampler="ancestral", noise="coarse").config.model_dump()["step_noise"] == "coarse"
    asked = tiny(name, sampler="ancestral", step_noise="gaussian").config.model_dump()
    assert asked["step_noise"] == "gaussian"


def test_attention_that_no_level_has_is_refused() -> None:
    method = AnoDDPM(AnoDDPM.config_for("paper"), InputSpec(size=224))
    with pytest.raises(BadInput, match=r"attention names 32, 16, 8 pixels.*224, 112, 56, 28, 14, 7"):
        method.unet()


@pytest.mark.parametrize("settings", [{"sampler": "ancestral", "t_test": (20,)}, {"sampler": "ddim"}])
def test_chains_do_not_depend_on_neighbours(settings: dict[str, Any]) -> None:
    method = tiny("ddpm", **settings)
    batch = blob_batch(4)
    network = built(method)
    train(method, network, batch, steps=3)
    together = method.explain(network, batch).healthy
    assert together is not None
    for row in range(4):
        alone = method.explain(network, pick(batch, [row])).healthy
        torch.testing.assert_close(alone, together[row : row + 1], atol=1e-4, rtol=1e-3)


def test_chains_are_cut_where_memory_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    method = tiny("anoddpm")
    batch = blob_batch(5)
    network = built(method)
    train(method, network, batch, steps=2)
    whole = method.explain(network, batch).healthy
    monkeypatch.setattr("unlesion.methods.diffusion.ddpm.rows_at_once", lambda images, width: 2)
    cut = method.explain(network, batch).healthy
    torch.testing.assert_close(cut, whole, atol=1e-4, rtol=1e-3)


class Hooked(DDPM):
    """Uses every hook: a code, a blackened image, half of the image noised, two regions at detection."""

    def build(self) -> nn.Module:
        return DiffusionNetwork(self.unet(context=2), encoder=nn.Linear(1, 2))

    def code(self, network: nn.Module, images: Tensor, batch: Batch) -> Tensor | None:
        self.coded = [*getattr(self, "coded", []), len(images)]
        found: Tensor = network.encoder(images.mean((1, 2, 3))[:, None])  # type: ignore[operator]
        return found

    def shown(self, images: Tensor, batch: Batch, context: StepContext) -> Tensor:
        return 0.5 * images

    def training_region(self, batch: Batch, context: StepContext) -> Tensor | None:
        return self.regions(batch.images.device)[:1].expand(len(batch), -1, -1, -1)

    def regions(self, device: torch.device) -> Tensor:
        left = torch.zeros(1, 32, 32, dtype=torch.bool, device=device)
        left[..., :16] = True
        return torch.stack([left, ~left])


def hooked(**settings: Any) -> Hooked:
    return Hooked(Hooked.config_for("tiny", settings), InputSpec(size=32))


def test_hooks_in_training() -> None:
    method = hooked()
    batch = blob_batch(4)
    unet = Asked(lambda noisy, times: torch.zeros_like(noisy))
    network = DiffusionNetwork(unet, encoder=nn.Linear(1, 2))  # type: ignore[arg-type]
    loss = method.denoising_loss(network, batch, context())["loss"]
    (seen,) = unet.seen
    # Clean beside the region, and changed as the hook says; judged inside only, against the true image.
    torch.testing.assert_close(seen[..., 16:], to_signal(0.5 * batch.images)[..., 16:])
    assert not torch.allclose(seen[..., :16], to_signal(0.5 * batch.images)[..., :16], atol=0.1)
    inside = to_signal(batch.images)[..., :16][batch.roi[..., :16]]
    torch.testing.assert_close(loss, inside.abs().mean())


def test_hooks_at_detection_make_a_code_once() -> None:
    method = hooked(t_test=(250, 500, 750))
    network = built(method)
    assert isinstance(network, DiffusionNetwork) and isinstance(network.unet, DiffusionUNet)
    batch = blob_batch(4)
    losses = train(method, network, batch, steps=2)
    assert losses and method.stages()[0].name == "diffusion"
    method.coded = []
    method.explain(network, batch)
    assert method.coded == [4]
    # Another's code: the swap of the paper's third figure.
    images = [
        method.redrawn(network.eval(), batch, code=code) for code in (torch.zeros(4, 2), torch.ones(4, 2))
    ]
    assert images[0].shape == (3, 4, 1, 32, 32)


def test_regions_are_put_together() -> None:
    method = hooked()
    unet = Asked(lambda noisy, times: torch.full_like(noisy, 0.5))
    network = DiffusionNetwork(unet, encoder=nn.Linear(1, 2))  # type: ignore[arg-type]
    batch = blob_batch(3)
    found = method.explain(network, batch).healthy
    assert found is not None
    assert unet.rows == [6]
    torch.testing.assert_close(found, 0.75 * batch.roi.float())


def test_the_learning_rate_may_fall() -> None:
    assert [cosine(at) for at in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.5, 0.0])
    assert tiny("ddpm").stages()[0].schedule is not None
    assert tiny("ddpm", anneal=False).stages()[0].schedule is constant


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"t_test": (0,)}, "between 1 and train_levels"),
        ({"t_test": (900,), "train_levels": 800}, "between 1 and train_levels"),
        ({"train_levels": 1001}, "between 1 and timesteps"),
        ({"blocks": (1, 1, 1)}, "levels"),
        ({"t_test": ()}, "at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DDPM.config_for("tiny", settings)


def test_sizes_that_do_not_halve_are_refused() -> None:
    with pytest.raises(BadInput, match="multiple of 4"):
        DDPM(DDPM.config_for("cpu"), InputSpec(size=66))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ddpm", "anoddpm"])
def test_an_unseen_bright_spot_becomes_weaker(name: str) -> None:
    method = tiny(name)
    network = built(method)
    train(method, network, blob_batch(128), steps=100)
    batch = blob_batch(8, seed=7)
    clean = batch.images.clone()
    batch.images[..., 6:12, 18:24] += 0.5 * batch.roi[..., 6:12, 18:24]
    healthy = method.explain(network, batch).healthy
    assert healthy is not None
    spot = (slice(None), slice(None), slice(6, 12), slice(18, 24))
    left = (healthy - clean)[spot].abs().mean() / (batch.images - clean)[spot].abs().mean()
    assert float(left) < 0.7


@pytest.mark.parametrize("name", ["ddpm", "anoddpm", "pddpm", "cddpm"])
def test_detection_in_bfloat16_is_close_and_as_independent(name: str) -> None:
    network = built(tiny(name))
    batch = blob_batch(5)
    train(tiny(name), network, batch, steps=5)
    exact = tiny(name).explain(network, batch).healthy
    method = tiny(name, precision="bf16")
    found = method.explain(network, batch).healthy
    assert exact is not None and found is not None and found.dtype == torch.float32
    assert 0 < float((found - exact).abs().max()) < 0.05
    assert torch.equal(found, method.explain(network, batch).healthy)
    alone = method.explain(network, pick(batch, [3])).healthy
    # A batch may round otherwise than one image, by what bfloat16 leaves.
    torch.testing.assert_close(alone, found[3:4], rtol=0, atol=0.02)


def test_the_precision_is_the_settings_whatever_holds_outside() -> None:
    network = built(tiny("ddpm"))
    batch = blob_batch(2)
    train(tiny("ddpm"), network, batch, steps=3)
    exact = tiny("ddpm").explain(network, batch).healthy
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(tiny("ddpm").explain(network, batch).healthy, exact)

"""Maps and codes that no scoring reads cost nothing, and what is read does not change by it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.methods.scenes import blob_batch, built, tiny
from unlesion.methods.batch import Batch
from unlesion.methods.registry import method_names
from unlesion.scoring import ScoringConfig, make_scorer
from unlesion.scoring.latent import CODES


@pytest.mark.parametrize("name", method_names())
def test_what_is_asked_for_is_as_it_was(name: str) -> None:
    method = tiny(name)
    network = built(method).eval()
    batch = blob_batch(2)
    whole = method.explain(network, batch)
    names = [*whole.maps, *whole.latent, None]
    for one in names:
        asked = replace(batch, wanted=frozenset(() if one is None else {one}))
        found = method.explain(network, asked)
        assert (found.healthy is None) == (whole.healthy is None)
        if found.healthy is not None and whole.healthy is not None:
            torch.testing.assert_close(found.healthy, whole.healthy, rtol=0, atol=1e-6)
        if one is not None:
            kind = "maps" if one in whole.maps else "latent"
            torch.testing.assert_close(
                getattr(found, kind)[one], getattr(whole, kind)[one], rtol=1e-5, atol=1e-6
            )


@pytest.mark.parametrize(
    ("name", "left_out"),
    [("vae", "combi"), ("vae", "mu_redrawn"), ("ra", "midl"), ("ra", "mu_redrawn"), ("f-anogan", "izi")],
)
def test_what_is_costly_is_left_out(name: str, left_out: str) -> None:
    method = tiny(name)
    native = make_scorer(ScoringConfig.model_validate(method.native))
    found = method.explain(built(method).eval(), replace(blob_batch(2), wanted=native.wanted))
    assert left_out not in found.maps and left_out not in found.latent
    assert native.wanted <= set(found.maps)


def test_scan_scores_of_codes_want_all_of_them() -> None:
    scorer = make_scorer(ScoringConfig(rule="residual*map:kl", scan="latent-kl"))
    assert scorer.wanted == {"kl", *CODES}
    assert make_scorer(ScoringConfig()).wanted == frozenset()


def test_some_of_a_batch_wants_the_same() -> None:
    batch: Batch = replace(blob_batch(3), wanted=frozenset({"kl"}))
    some = batch.pick(torch.tensor([0, 2]))
    assert some.wants("kl", "other") and not some.wants("other")
    assert blob_batch(1).wants("anything")

"""Options that several verbs share."""

from __future__ import annotations

from unlesion.cli.options import separate_settings


def test_several_settings_may_follow_one_set() -> None:
    given = [
        "train",
        "c",
        "--set",
        "method.beta=2",
        "recipe.size=32",
        "--seed",
        "1",
        "--set",
        "training.batch=4",
    ]
    assert separate_settings(given) == [
        *["train", "c", "--set", "method.beta=2", "--set", "recipe.size=32"],
        *["--seed", "1", "--set", "training.batch=4"],
    ]


def test_paths_after_a_setting_stay_paths() -> None:
    given = ["train", "--set", "method.beta=2", "data=new/cohort", "method.csv"]
    assert separate_settings(given) == given


def test_a_setting_without_set_stays_where_it_is() -> None:
    given = ["train", "cohort", "method.beta=2"]
    assert separate_settings(given) == given

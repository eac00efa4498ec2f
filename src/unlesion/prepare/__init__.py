"""Raw scans to comparable pictures and back: recipes and the prepared store."""

from unlesion.prepare.choose import choose_recipe
from unlesion.prepare.gather import prepare_cohort
from unlesion.prepare.item import Failure
from unlesion.prepare.load import builtin_recipes, load_recipe, recipe_from
from unlesion.prepare.normalise import Intensity
from unlesion.prepare.noticed import Noticed
from unlesion.prepare.placement import Placement
from unlesion.prepare.prepared import Prepared
from unlesion.prepare.recipe import Recipe
from unlesion.prepare.replacing import refuse_other_store
from unlesion.prepare.reuse import is_store, on_prepared_grid, store_cohort
from unlesion.prepare.store import PreparedStore
from unlesion.prepare.stored import marks_lesion

__all__ = [
    "Failure",
    "Intensity",
    "Noticed",
    "Placement",
    "Prepared",
    "PreparedStore",
    "Recipe",
    "builtin_recipes",
    "choose_recipe",
    "is_store",
    "load_recipe",
    "marks_lesion",
    "on_prepared_grid",
    "prepare_cohort",
    "recipe_from",
    "refuse_other_store",
    "store_cohort",
]

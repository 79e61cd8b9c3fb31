"""What a stack file may say: read ``stack.py`` first."""

from .errors import Problem, SettingsError
from .load import load, parse
from .stack import Cloud
from .stacks import Stack, artifacts_place, database_place

__all__ = ["Cloud", "Problem", "SettingsError", "Stack", "artifacts_place", "database_place", "load", "parse"]

"""What a stack file may say: read ``stack.py`` first."""

from .errors import Problem, SettingsError
from .load import load, parse
from .stack import Cloud
from .stacks import AnyStack, Stack, artifacts_place, database_place, with_server

__all__ = [
    "AnyStack",
    "Cloud",
    "Problem",
    "SettingsError",
    "Stack",
    "artifacts_place",
    "database_place",
    "load",
    "parse",
    "with_server",
]

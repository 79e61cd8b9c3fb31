"""What a stack file may say: read ``stack.py`` first."""

from .errors import Problem, SettingsError
from .load import load, parse
from .stack import Cloud, Stack

__all__ = ["Cloud", "Problem", "SettingsError", "Stack", "load", "parse"]

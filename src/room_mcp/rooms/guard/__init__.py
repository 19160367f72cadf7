"""The guard against exchanges without progress: five signals, a score, and who it is about.

`features` reads a text once, before it is stored. `Memory` judges features by what the room has
said before, and takes them in. What a room does about a score is decided elsewhere.
"""

from .features import Features, features
from .levels import MAX_SCORE, Level, Thresholds
from .lexicon import Lexicon, default_lexicon, lexicon
from .memory import EXEMPT, Memory, Numbers, Verdict, type_as
from .reasons import reasons
from .signals import Signals

__all__ = [
    "EXEMPT",
    "MAX_SCORE",
    "Features",
    "Level",
    "Lexicon",
    "Memory",
    "Numbers",
    "Signals",
    "Thresholds",
    "Verdict",
    "default_lexicon",
    "features",
    "lexicon",
    "reasons",
    "type_as",
]

"""How many examples hypothesis draws: a few, always the same ones, unless HYPOTHESIS_PROFILE=long."""

import os

from hypothesis import HealthCheck, Phase, settings

# A failure is printed as it was drawn: to shrink and to explain it takes minutes.
COMMON = {
    "derandomize": True,
    "database": None,
    "deadline": None,
    "phases": [Phase.explicit, Phase.generate],
    "suppress_health_check": list(HealthCheck),
}
settings.register_profile("quick", max_examples=3, **COMMON)
settings.register_profile("long", max_examples=150, **COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

"""What holds for all tests."""

from hypothesis import settings

# A machine that is busy with something else makes a test slow, not wrong.
settings.register_profile("restorer", deadline=None)
settings.load_profile("restorer")

"""The two dialects of OpenAI's protocol."""

from voice.protocol.dialects.beta import Beta
from voice.protocol.dialects.ga import GA

__all__ = ["GA", "Beta"]

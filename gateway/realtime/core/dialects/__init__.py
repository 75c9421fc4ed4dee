"""The two dialects of OpenAI's protocol."""

from gateway.realtime.core.dialects.beta import Beta
from gateway.realtime.core.dialects.ga import GA

__all__ = ["GA", "Beta"]

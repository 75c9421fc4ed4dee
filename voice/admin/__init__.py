"""The screens of voice pipelines and sessions."""

from voice.admin.pipelines import VoicePipelineAdmin
from voice.admin.sessions import RealtimeSessionAdmin

__all__ = ["RealtimeSessionAdmin", "VoicePipelineAdmin"]

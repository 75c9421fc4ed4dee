"""What a model can do, said before anything is started."""

from providers.models import SpeechModel


def problem_with(model: SpeechModel, *, task: str, mode: str = "auto") -> str:
    """Why `model` cannot do `task` (stt or tts) in `mode` (auto or direct), for a person; empty where it can."""
    if not (model.is_active and model.provider.is_active):
        return "It is switched off."
    if task == "stt" and not model.speech_to_text:
        return "It does not transcribe speech."
    if task == "tts" and not model.text_to_speech:
        return "It does not speak."
    if mode == "direct" and not model.supports_direct:
        return "It takes no samples one by one. Choose another mode."
    return ""

"""What an answer says, as it says it: one item with one part."""

from gateway.realtime.core import server
from gateway.realtime.core.items import Item, Part
from gateway.realtime.core.keeper import Keeper
from gateway.realtime.core.response import Response
from gateway.realtime.core.shared import Shared
from gateway.realtime.core.speech import Spoken


class Output:
    def __init__(self, shared: Shared, keeper: Keeper, response: Response) -> None:
        self._shared = shared
        self._keeper = keeper
        self._response = response
        self._text: list[str] = []

    def text(self, delta: str) -> None:
        item = self._item()
        self._text.append(delta)
        if self._response.modality == "text":
            self._shared.out.tell(server.TextDelta(self._response.id, item.id, delta))
        else:
            self._shared.out.tell(server.TranscriptDelta(self._response.id, item.id, delta))

    def sentence(self, text: str) -> None:
        """The audio that follows speaks this."""
        spoken = self._item().spoken
        if spoken is not None:
            spoken.begin(text)

    def audio(self, audio: bytes) -> None:
        item = self._item()
        if item.spoken is not None:
            item.spoken.add(len(audio) / self._response.output_format.bytes_per_ms)
            self._shared.out.tell(server.AudioDelta(self._response.id, item.id, audio))

    def end(self) -> None:
        """Close what was opened."""
        response = self._response
        item = response.item
        if item is None:
            return
        text = self._final_text(item)
        item.content[0].text = text
        if response.modality == "audio":
            self._shared.out.tell(server.AudioDone(response.id, item.id))
            self._shared.out.tell(server.TranscriptDone(response.id, item.id, text))
        else:
            self._shared.out.tell(server.TextDone(response.id, item.id, text))
        item.status = "completed" if response.status == "completed" else "incomplete"
        self._shared.out.tell(server.ContentPartDone(response.id, item.id, response.modality, text))
        self._shared.out.tell(server.OutputItemDone(response.id, item))
        if item in self._keeper.conversation:
            self._keeper.done(item)

    def _final_text(self, item: Item) -> str:
        """All that was written; of speech that was stopped what was spoken, of speech that was truncated what of it
        was heard."""
        spoken = item.spoken
        if spoken is None:
            return "".join(self._text)
        if spoken.is_cut:
            return item.text
        if self._response.status in ("cancelled", "failed"):
            return spoken.cut(spoken.ms)
        spoken.end()
        return "".join(self._text)

    def _item(self) -> Item:
        """Made when there is something to put into it."""
        response = self._response
        if response.item is not None:
            return response.item
        item = Item(self._shared.ids.new("item"), "message", "assistant", status="in_progress")
        if response.modality == "audio":
            item.spoken = Spoken()
        response.item = item
        self._shared.out.tell(server.OutputItemAdded(response.id, item))
        if response.conversation_id is not None:
            self._keeper.add(item)
        item.content.append(Part(response.modality, ""))
        self._shared.out.tell(server.ContentPartAdded(response.id, item.id, response.modality))
        return item

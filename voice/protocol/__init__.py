"""A realtime voice session: speech -> STT -> chat -> TTS -> speech, as a pure state machine.

Nothing in here waits, opens a socket, reads a clock or calls a provider. A `Wire` (wire.py) is one session in one
dialect, and all that a runner needs:

    wire = Wire(dialect=GA(), config=..., models=..., ids=Ids(stem=...), limits=Limits())
    step = wire.start()              # session.created, and whether to detect turns
    step = wire.text(frame)          # a text frame from the socket; never raises, whatever is in it
    step = wire.audio(frame)         # a binary frame: audio, appended
    step = wire.runner_event(event)  # what the runner reports (runner_events.py)

Each returns a `Step`: `frames`, the texts to send in this order, and `commands` (commands.py), to be started in this
order after the frames were queued. All calls of one session come from one event loop, one after another; each is short.
So a runner is: a reader (frames in), a writer (a bounded queue of frames out), and a task for each command that takes
time, which reports its progress by `wire.runner_event(...)` and carries out the steps that this returns.

    Transcribe       -> TranscriptionDelta..., then Transcribed or TranscriptionFailed
    StartResponse    -> ChatText, SentenceStarted, SpeechAudio, ResponseUsage, then ResponseFinished or ResponseFailed
    DetectTurns      -> sets turn detection from now on (or switches it off); then each `Listen` is audio for it
    Listen           -> SpeechStarted, SpeechStopped, and SilenceHeard (often: it frees the buffer)
    Cancel...        stops that task; its later events are ignored
    Close            sends what is queued and closes the socket

The client has been told all that follows from a command when it is given: after CancelResponse there is nothing to
report. The runner's clock ends sessions by `TimeUp`.

One turn with server VAD and audio output (each line is one call and what it returns; a runner event stands by itself):

    text(append)                -> Listen
    SpeechStarted(800)          -> speech_started {item A}; for an active response: its done events, CancelResponse
    SpeechStopped(2600)         -> speech_stopped, committed, item.added, item.done, Transcribe(A);
                                   response.created {R}, rate_limits.updated
    TranscriptionDelta(A)       -> transcription.delta
    Transcribed(A, "Hi.")       -> transcription.completed, StartResponse(R, (system, user "Hi."))
    ChatText(R, "Hello, ")      -> output_item.added, item.added, content_part.added, transcript.delta
    ChatText(R, "you. I ")      -> transcript.delta
    SentenceStarted(R, "Hello, you. ")  -> (notes which text the following audio speaks)
    SpeechAudio(R, ...)         -> output_audio.delta                      (while the chat model still writes)
    ResponseUsage(R, 9, 5)      -> (kept for response.done)
    ResponseFinished(R)         -> audio.done, transcript.done, content_part.done, output_item.done, item.done,
                                   response.done {usage}

Without turn detection (`turn_detection: null`) `commit` returns committed..., Transcribe, and `response.create` the
rest: a response that is requested before its speech is transcribed waits for the transcript.

Appended audio is kept here until its turn is committed (`InputBuffer` in turns.py); then `Transcribe` hands it to the
runner. Each of the two is bounded by `Limits.audio_seconds`. Audio of answers is never kept, only how much of which
sentence was sent (`SpokenAudio` in conversation.py): `truncate` and interruptions cut the text by that.
"""

"""A realtime voice session: speech -> STT -> chat -> TTS -> speech, as a pure state machine.

Nothing in here waits, opens a socket, reads a clock or calls a provider. A `Wire` (wire.py) is one session spoken in
one dialect, and all that a runner needs:

    wire = Wire(dialect=GA(), config=..., models=..., ids=Ids(stem=...), limits=Limits())
    step = wire.start()              # session.created, and whether to detect turns
    step = wire.text(frame)          # a text frame from the socket; never raises, whatever is in it
    step = wire.audio(frame)         # a binary frame: audio, appended
    step = wire.happened(happening)  # what the runner has to tell (happenings.py)

Each gives a `Step`: `frames`, the texts to send in this order, and `commands` (commands.py), to be begun in this order
after the frames were queued. All calls of one session come from one event loop, one after another; each is short. So
a runner is: a reader (frames in), a writer (a bounded queue of frames out), and a task for each command that takes
time, which tells of what it does by `wire.happened(...)` and hands on what that gives.

    Transcribe       -> TranscriptionDelta..., then Transcribed or TranscriptionFailed
    StartResponse    -> ChatText, SentenceStarted, SpeechAudio, ResponseUsage, then ResponseFinished or ResponseFailed
    DetectTurns      -> how to hear for turns from now on (or not at all); then each `Listen` is audio for that
    Listen           -> SpeechStarted, SpeechStopped, and SilenceHeard (often: it lets the buffer go)
    Cancel...        stop that task; nothing is to be told any more (what crosses is ignored)
    Close            flush and close the socket

The client has been told all that follows from a command when it is given: after CancelResponse there is nothing to
report. A runner's own clock ends sessions by `TimeUp`.

One turn with server VAD, audio out (each line one call, and what it gives):

    text(append)                      -> Listen
    happened(SpeechStarted(800))      -> speech_started {item A}; an answer being given: its done events, CancelResponse
    happened(SpeechStopped(2600))     -> speech_stopped, committed, item.added, item.done, Transcribe(A);
                                         response.created {R}, rate_limits.updated
    happened(TranscriptionDelta(A))   -> transcription.delta
    happened(Transcribed(A, "Hi."))   -> transcription.completed, StartResponse(R, (system, user "Hi."))
    happened(ChatText(R, "Hello, "))  -> output_item.added, item.added, content_part.added, transcript.delta
    happened(ChatText(R, "you. I "))  -> transcript.delta
    happened(SentenceStarted(R, "Hello, you. "))  -> (remembers which text the following audio speaks)
    happened(SpeechAudio(R, ...))     -> output_audio.delta                      (while the chat model still writes)
    happened(ResponseUsage(R, 9, 5))  -> (kept for response.done)
    happened(ResponseFinished(R))     -> audio.done, transcript.done, content_part.done, output_item.done, item.done,
                                         response.done {usage}

By hand (`turn_detection: null`) `commit` gives committed..., Transcribe, and `response.create` the rest: a response
that is asked for before its speech is written down waits for that by itself.

Where the audio is: appended audio is kept here until its turn is committed (buffer.py), then it goes along in
`Transcribe` and is the runner's. Each of the two is bounded by `Limits.audio_seconds`. Audio of answers is never kept,
only how much of which sentence was sent (speech.py): that is what `truncate` and interruptions cut the text by.
"""

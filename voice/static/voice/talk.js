// Talk with three models over /v1/realtime: by microphone or a file, with every event and delay shown.
(() => {
  const RATE = 24000 // Hz, both ways
  const PIECE = 2400 // samples: 100 ms
  const SHOWN = 300 // events
  const root = document.getElementById('talk')
  const by = (id) => document.getElementById(`talk-${id}`)
  const chosen = (name) => root.querySelector(`[name=${name}]`).value

  let socket = null
  let audio = null // AudioContext
  let microphone = null // {stream, source, node}
  let begun = 0 // when the session began, ms
  let turn = null // {row, ended} of the turn that is being answered
  let answer = null // {item, line, startsAt, sent} of what is being played
  let playing = [] // sources that are scheduled
  let playUntil = 0 // of the AudioContext, s
  const lines = new Map() // item id -> element of the conversation

  // --- what is shown ---------------------------------------------------------------------------

  function say(text) { by('state').textContent = text }

  function show(direction, type, isBad) {
    const line = document.createElement('li')
    const time = document.createElement('time')
    time.textContent = `${((performance.now() - begun) / 1000).toFixed(3)} ${direction}`
    const name = document.createElement('span')
    name.textContent = type
    name.className = isBad ? 'talk-bad' : ''
    line.append(time, name)
    by('events').append(line)
    while (by('events').childElementCount > SHOWN) by('events').firstChild.remove()
    by('events').scrollTop = by('events').scrollHeight
  }

  function lineOf(item, who) {
    if (!lines.has(item)) {
      if (!lines.size) by('conversation').replaceChildren()
      const line = document.createElement('p')
      line.className = 'talk-line'
      const name = document.createElement('b')
      name.textContent = who
      line.append(name, document.createTextNode(''))
      by('conversation').append(line)
      lines.set(item, line)
    }
    by('conversation').scrollTop = by('conversation').scrollHeight
    return lines.get(item)
  }

  function write(item, who, text, isWhole) {
    const node = lineOf(item, who).lastChild
    node.data = isWhole ? text : node.data + text
  }

  function beginTurn() {
    const row = document.createElement('tr')
    for (let column = 0; column < 5; column++) row.append(document.createElement('td'))
    row.firstChild.textContent = by('delays').childElementCount + 1
    by('delays').append(row)
    turn = { row, ended: performance.now() }
  }

  function note(column) {
    const cell = turn && turn.row.children[column]
    if (cell && !cell.textContent) cell.textContent = `${Math.round(performance.now() - turn.ended)} ms`
  }

  function enable(isOpen) {
    by('connect').textContent = isOpen ? 'Disconnect' : 'Connect'
    by('connect').disabled = false
    by('answer').hidden = chosen('turns') !== 'hand'
    for (const name of ['microphone', 'file', 'answer', 'stop']) by(name).disabled = !isOpen
    by('file-label').setAttribute('aria-disabled', String(!isOpen))
  }

  // --- what is heard ---------------------------------------------------------------------------

  function samplesOf(base64) {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))
    return Float32Array.from(new Int16Array(bytes.buffer), (sample) => sample / 32768)
  }

  function play(event) {
    const samples = samplesOf(event.delta)
    const buffer = audio.createBuffer(1, samples.length, RATE)
    buffer.copyToChannel(samples, 0)
    const source = new AudioBufferSourceNode(audio, { buffer })
    source.connect(audio.destination)
    const at = Math.max(playUntil, audio.currentTime + 0.02)
    if (!answer || answer.item !== event.item_id) answer = { item: event.item_id, startsAt: at, sent: 0 }
    source.start(at)
    source.onended = () => { playing = playing.filter((each) => each !== source) }
    playing.push(source)
    answer.sent += buffer.duration
    playUntil = at + buffer.duration
  }

  function beSilent() {
    if (!answer || !playing.length) return
    const heard = Math.max(0, Math.min(audio.currentTime - answer.startsAt, answer.sent))
    for (const source of playing) source.stop()
    playing = []
    playUntil = 0
    send({ type: 'conversation.item.truncate', item_id: answer.item, content_index: 0, audio_end_ms: Math.floor(heard * 1000) })
  }

  // --- the session -----------------------------------------------------------------------------

  function send(event) {
    if (!socket || socket.readyState !== WebSocket.OPEN) return
    if (event.type !== 'input_audio_buffer.append') show('→', event.type)
    socket.send(JSON.stringify(event))
  }

  function append(samples) { // Int16Array
    const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength)
    send({ type: 'input_audio_buffer.append', audio: btoa(String.fromCharCode(...bytes)) })
  }

  function endTurn() {
    send({ type: 'input_audio_buffer.commit' })
    send({ type: 'response.create' })
  }

  const heard = {
    'session.created'() {
      send({
        type: 'session.update',
        session: {
          type: 'realtime',
          stt_model: chosen('stt_model'),
          llm_model: chosen('llm_model'),
          tts_model: chosen('tts_model'),
          voice: chosen('voice'),
          audio: { input: { turn_detection: chosen('turns') === 'vad' ? { type: 'server_vad' } : null } }
        }
      })
    },
    'session.updated'() { say('Connected: speak') },
    'input_audio_buffer.speech_started'() { beSilent(); say('Listening') },
    'input_audio_buffer.committed'() { beginTurn(); say('Thinking') },
    'conversation.item.input_audio_transcription.completed'(event) {
      note(1)
      write(event.item_id, 'You', event.transcript || '(nothing)', true)
    },
    'response.output_audio_transcript.delta'(event) { note(2); write(event.item_id, 'Answer', event.delta) },
    'response.output_audio.delta'(event) { note(3); play(event); say('Speaking') },
    'response.done'(event) {
      note(4)
      const failure = event.response.status_details?.error
      if (failure) write(event.response.id, 'Failed', failure.message || failure.code, true)
      const item = event.response.output[0]
      if (event.response.status === 'cancelled' && item && lines.has(item.id)) lines.get(item.id).classList.add('talk-cancelled')
      say('Connected: speak')
    },
    error(event) { say(event.error.message) }
  }

  function listen(message) {
    const event = JSON.parse(message.data)
    const details = event.type === 'error' ? `: ${event.error.message}` : event.type === 'response.done' ? `: ${event.response.status}` : ''
    show('←', event.type + details, event.type === 'error')
    heard[event.type]?.(event)
  }

  async function secret() {
    const token = root.querySelector('[name=csrfmiddlewaretoken]').value
    const answered = await fetch(root.dataset.secret, { method: 'POST', headers: { 'X-CSRFToken': token } })
    if (!answered.ok) throw new Error(`No key for this page (${answered.status}). Load it again.`)
    return (await answered.json()).value
  }

  async function connect() {
    say('Connecting')
    by('connect').disabled = true // until it is known whether there is a connection
    audio ??= new AudioContext({ sampleRate: RATE })
    await audio.resume()
    const key = await secret()
    begun = performance.now()
    by('events').replaceChildren()
    socket = new WebSocket(`${location.origin.replace('http', 'ws')}/v1/realtime`, ['realtime', `openai-insecure-api-key.${key}`])
    socket.onopen = () => enable(true)
    socket.onmessage = listen
    socket.onclose = (event) => {
      socket = null
      stopMicrophone()
      beSilent()
      enable(false)
      say(event.reason || (event.code === 1000 ? 'Not connected' : `The connection ended (${event.code})`))
    }
  }

  // --- microphone and files --------------------------------------------------------------------

  async function startMicrophone() {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: true } })
    await audio.audioWorklet.addModule(root.dataset.microphone)
    const source = new MediaStreamAudioSourceNode(audio, { mediaStream: stream })
    const node = new AudioWorkletNode(audio, 'microphone')
    node.port.onmessage = (message) => append(message.data)
    source.connect(node)
    microphone = { stream, source, node }
    by('microphone').textContent = 'Stop microphone'
    by('microphone').classList.add('talk-recording')
  }

  function stopMicrophone() {
    if (!microphone) return
    microphone.source.disconnect()
    for (const track of microphone.stream.getTracks()) track.stop()
    microphone = null
    by('microphone').textContent = 'Use microphone'
    by('microphone').classList.remove('talk-recording')
  }

  async function sayFile(file) {
    const decoder = new OfflineAudioContext(1, 1, RATE)
    const decoded = await decoder.decodeAudioData(await file.arrayBuffer())
    const samples = Int16Array.from(decoded.getChannelData(0), (sample) => Math.max(-1, Math.min(1, sample)) * 32767)
    const byHand = chosen('turns') === 'hand'
    const silence = byHand ? 0 : RATE // what follows the last word ends the turn
    const all = new Int16Array(samples.length + silence)
    all.set(samples)
    for (let at = 0; at < all.length && socket; at += PIECE) {
      append(all.subarray(at, at + PIECE))
      if (!byHand) await new Promise((resolve) => setTimeout(resolve, 100)) // as it would be spoken
    }
    if (byHand) endTurn()
  }

  function attempt(action) {
    return async (event) => {
      try {
        await action(event)
      } catch (error) {
        say(error.message)
      }
    }
  }

  by('file').hasChangeListener = true // or the admin's own script looks for a text field beside it
  by('connect').addEventListener('click', attempt(async () => {
    if (socket) return socket.close(1000)
    try {
      await connect()
    } catch (error) {
      enable(false)
      throw error
    }
  }))
  by('microphone').addEventListener('click', attempt(() => (microphone ? stopMicrophone() : startMicrophone())))
  by('file').addEventListener('change', attempt(async (event) => {
    const [file] = event.target.files
    if (file) await sayFile(file)
    event.target.value = ''
  }))
  by('answer').addEventListener('click', endTurn)
  by('stop').addEventListener('click', () => { send({ type: 'response.cancel' }); beSilent() })
})()

// OpenAI's agents for realtime in JavaScript: two spoken turns, committed by the client (WAY=hand) or by the server (vad).
import { readFileSync } from 'node:fs'
import { OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession } from '@openai/agents-realtime'

const { ADDRESS, API_KEY, FOLDER, WAY } = process.env
const transport = new OpenAIRealtimeWebSocket({ url: `${ADDRESS}?model=studio` })
const agent = new RealtimeAgent({ name: 'Greeter', instructions: 'Greet whoever speaks.' })
const turnDetection = WAY === 'vad' ? { type: 'server_vad', silenceDurationMs: 400 } : null
const session = new RealtimeSession(agent, {
  transport,
  model: 'studio',
  config: { audio: { input: { turnDetection, transcription: { model: 'gpt-4o-mini-transcribe' } } } }
})
const errors = []
let samples = 0
let finish
session.on('error', (event) => errors.push(event))
session.on('audio', (event) => { samples += event.data.byteLength / 2 })
transport.on('turn_done', () => finish())

await session.connect({ apiKey: API_KEY })
for (const turn of [1, 2]) {
  const done = new Promise((resolve) => { finish = resolve })
  const pcm = new Uint8Array(readFileSync(`${FOLDER}/turn${turn}.wav`)).slice(44).buffer
  for (let at = 0; at < pcm.byteLength; at += 4800) session.sendAudio(pcm.slice(at, at + 4800))
  if (WAY === 'hand') {
    transport.sendEvent({ type: 'input_audio_buffer.commit' })
    transport.requestResponse()
  }
  await done
  await new Promise((resolve) => setTimeout(resolve, samples / 24)) // it is being played: who speaks earlier interrupts
}
await new Promise((resolve) => setTimeout(resolve, 100))
const items = session.history.map((item) => ({
  role: item.role,
  status: item.status,
  transcript: item.content.map((part) => part.transcript).join('')
}))
session.close()
console.log(JSON.stringify({ items, errors, samples }))
process.exit(0)

// The reference client of the beta dialect: two spoken turns, committed by the client (WAY=hand) or by the server (vad).
import { readFileSync } from 'node:fs'
import { RealtimeClient } from 'openai-realtime-api'

const { ADDRESS, API_KEY, FOLDER, WAY } = process.env
const client = new RealtimeClient({
  apiKey: API_KEY,
  url: ADDRESS,
  model: 'studio',
  sessionConfig: {
    turn_detection: WAY === 'vad' ? { type: 'server_vad', silence_duration_ms: 400 } : null,
    input_audio_transcription: { model: 'whisper-1' }
  }
})
const errors = []
client.on('error', (event) => errors.push(event))
let finish
client.realtime.on('server.response.done', () => finish())

await client.connect()
await client.waitForSessionCreated()
for (const turn of [1, 2]) {
  const done = new Promise((resolve) => { finish = resolve })
  const samples = new Int16Array(new Uint8Array(readFileSync(`${FOLDER}/turn${turn}.wav`)).slice(44).buffer)
  for (let at = 0; at < samples.length; at += 2400) client.appendInputAudio(samples.slice(at, at + 2400))
  if (WAY === 'hand') client.createResponse()
  await done
}
const items = client.conversation.getItems().map((item) => ({
  role: item.role,
  status: item.status,
  transcript: item.formatted.transcript,
  samples: item.formatted.audio?.length ?? 0
}))
client.disconnect()
console.log(JSON.stringify({ items, errors }))
process.exit(0)

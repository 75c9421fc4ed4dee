// The unmodified openai-node against a live gateway. What each step gave, or how it failed, is printed as JSON.
import fs from "node:fs";
import path from "node:path";
import { text } from "node:stream/consumers";
import OpenAI, { toFile } from "openai";

const { BASE_URL, API_KEY, STUDIO, FOLDER } = process.env;
const client = new OpenAI({ apiKey: API_KEY, baseURL: BASE_URL, maxRetries: 0 });
const { transcriptions, translations, speech } = client.audio;

const control = (wishes) => fetch(`${STUDIO}/_control`, { method: "POST", body: JSON.stringify(wishes) });
const state = async () => (await fetch(`${STUDIO}/_state`)).json();
const audio = (name = "speech.wav") => fs.createReadStream(path.join(FOLDER, name));
const hear = (more = {}) => transcriptions.create({ model: "studio/whisper", file: audio(), ...more });
const say = (more = {}) =>
  speech.create({ model: "studio/voice", voice: "alloy", input: "The quick brown fox.", ...more });
const collect = async (stream) => {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
};

const steps = {
  transcription: async () => {
    const answer = await hear();
    return { text: answer.text, usage: answer.usage, sent: (await state()).calls.at(-1).file.size };
  },
  large_read_stream: async () => (await hear({ file: audio("long.wav") })).text,
  buffer: async () => (await hear({ file: await toFile(fs.readFileSync(path.join(FOLDER, "speech.mp3"))) })).text,
  mp3: async () => (await hear({ file: audio("speech.mp3") })).text,
  webm: async () => (await hear({ file: audio("speech.webm") })).text,
  text: () => hear({ response_format: "text" }),
  srt: () => hear({ response_format: "srt" }),
  vtt: () => hear({ response_format: "vtt" }),
  verbose_json: () => hear({ response_format: "verbose_json", timestamp_granularities: ["word", "segment"] }),
  transcription_stream: async () => collect(await hear({ model: "studio/transcribe", stream: true })),
  transcription_stream_breaks: async () => {
    await control({ faults: [{ where: "transcriptions", what: "die" }] });
    return collect(await hear({ model: "studio/transcribe", stream: true }));
  },
  translation: async () => (await translations.create({ model: "studio/whisper", file: audio() })).text,
  local_speech: async () => {
    const answer = await say({ model: "local/espeak-ng", voice: "en-us" });
    return { type: answer.headers.get("content-type"), bytes: (await answer.arrayBuffer()).byteLength };
  },
  speech_while_it_is_made: async () => {
    await control({ settings: { hold_after: 2 } });
    const reader = (await say({ response_format: "pcm" })).body.getReader();
    const first = (await reader.read()).value.length;
    const open = (await state()).open_streams;
    await control({ release: true });
    let rest = 0;
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) rest += piece.value.length;
    return { first, open, rest };
  },
  speech_events: async () => {
    const lines = (await text((await say({ stream_format: "sse" })).body)).split("\n\n").filter(Boolean);
    return lines.map((line) => JSON.parse(line.replace("data: ", "")).type);
  },
  speech_breaks: async () => {
    await control({ faults: [{ where: "speech", what: "die" }] });
    return (await (await say()).arrayBuffer()).byteLength;
  },
  models: async () => (await collect(await client.models.list())).map((model) => model.id),
  model: async () => (await client.models.retrieve("studio/whisper")).id,
  wrong_key: () => new OpenAI({ apiKey: "wrong", baseURL: BASE_URL, maxRetries: 0 }).models.list(),
  unknown_model: () => hear({ model: "gpt-9" }),
  no_audio: async () => hear({ file: await toFile(Buffer.from("only words"), "words.wav") }),
  empty_voice: () => say({ voice: "" }),
  too_large: async () => hear({ file: audio("huge.wav") }),
  provider_500: async () => {
    await control({ faults: [{ where: "transcriptions", what: "status", status: 500 }] });
    return hear();
  },
};
for (const encoding of ["mp3", "opus", "aac", "flac", "wav", "pcm"]) {
  steps[`speech_${encoding}`] = async () => {
    const answer = await say({ response_format: encoding });
    return { type: answer.headers.get("content-type"), bytes: (await answer.arrayBuffer()).byteLength };
  };
}
// The last one: the provider is paused afterwards, as it has asked for.
steps.provider_429 = async () => {
  await control({ faults: [{ where: "transcriptions", what: "status", status: 429, retry_after: 5 }] });
  return hear();
};

const outcomes = {};
for (const [name, step] of Object.entries(steps)) {
  await control({ reset: true });
  await control({ settings: { text: "we heard two foxes" } });
  try {
    outcomes[name] = { value: await step() };
  } catch (error) {
    const { status, code, param, type } = error;
    outcomes[name] = { error: error.constructor.name, status, code, param, type, message: String(error.message) };
  }
}
console.log(JSON.stringify(outcomes));

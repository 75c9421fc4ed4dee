// Gives the page what the microphone hears, in pieces of 100 ms: 16-bit samples at the context's rate (24 kHz).
class Microphone extends AudioWorkletProcessor {
  constructor() {
    super()
    this.piece = new Int16Array(2400)
    this.length = 0
  }

  process(inputs) {
    for (const sample of inputs[0][0] || []) {
      this.piece[this.length++] = Math.max(-1, Math.min(1, sample)) * 32767
      if (this.length === this.piece.length) {
        this.port.postMessage(this.piece.slice())
        this.length = 0
      }
    }
    return true
  }
}

registerProcessor('microphone', Microphone)

// Plays the notes of a song with the Web Audio API: simple voices made here, and no recorded sound.

const STEPS_PER_SECOND = 200; // of the notes' times, as in played_notes.py
const AHEAD = 1.5; // seconds that are scheduled ahead, since a page in the background may run timers once a second only
const LOOK_EVERY = 200; // milliseconds
const LOOKS_TO_WAIT = 10; // that find the clock standing still, before the page says so
const START_DELAY = 0.08; // seconds before the first note, so that it isn't late
const MOST_SOURCES = 192; // that sound or wait at once; notes above that are left out
const SHORTEST_REST = 0.05; // seconds that a note must go on to be heard when the music starts within it

// In the order of VOICES in played_notes.py. partials: strengths of the overtones; decay and release: seconds in which a
// note falls by two thirds, to `sustain` (a share of its peak) and after its end.
const VOICES = [
  { partials: [1, 0.45, 0.25, 0.12, 0.06], level: 0.4, attack: 0.004, decay: 0.7, sustain: 0, release: 0.06 }, // piano
  { partials: [1, 0.5, 0.3, 0.2, 0.1], level: 0.18, attack: 0.06, decay: 0.4, sustain: 0.8, release: 0.1 }, // sustained
  { partials: [1, 0.5, 0.2, 0.08], level: 0.5, attack: 0.008, decay: 0.8, sustain: 0.4, release: 0.05 }, // bass
  { partials: [1, 0.6, 0.5, 0.35, 0.25, 0.15], level: 0.2, attack: 0.02, decay: 0.4, sustain: 0.75, release: 0.06 }, // lead
];
const DRUMS = VOICES.length;

// A drum is a sine that falls from one pitch to another (in Hz), noise through a filter, or both.
const KICK = { falls: [150, 45], level: 0.9, lasts: 0.3 };
const TOM = { falls: [210, 90], level: 0.6, lasts: 0.35 };
const SNARE = { falls: [230, 150], filter: "bandpass", at: 1900, level: 0.45, lasts: 0.2 };
const HAT = { filter: "highpass", at: 7500, level: 0.2, lasts: 0.06 };
const CYMBAL = { filter: "highpass", at: 5500, level: 0.22, lasts: 0.9 };
const OTHER_DRUM = { filter: "bandpass", at: 3200, level: 0.25, lasts: 0.1 };
const DRUM_OF_KEY = new Map([ // keys of General MIDI's drums
  ...[35, 36].map((key) => [key, KICK]),
  ...[37, 38, 39, 40].map((key) => [key, SNARE]),
  ...[41, 43, 45, 47, 48, 50].map((key) => [key, TOM]),
  ...[42, 44].map((key) => [key, HAT]),
  ...[46, 49, 51, 52, 53, 55, 57, 59].map((key) => [key, CYMBAL]),
]);

// The notes in a text that played_notes.py wrote, in order: { start, end (in seconds), pitch, velocity, voice }.
function notesOf(text) {
  const bytes = atob(text);
  let position = 0;
  const number = () => {
    let [value, weight] = [0, 1];
    for (;;) {
      const byte = bytes.charCodeAt(position++);
      value += (byte & 127) * weight;
      if (byte < 128) return value;
      weight *= 128;
    }
  };
  const notes = [];
  let steps = 0;
  while (position < bytes.length) {
    steps += number();
    const end = (steps + number()) / STEPS_PER_SECOND;
    notes.push({ start: steps / STEPS_PER_SECOND, end, pitch: number(), velocity: number(), voice: number() });
  }
  return notes;
}

// The instruments, on an AudioContext or an OfflineAudioContext.
class Band {
  constructor(context) {
    this.context = context;
    this.sources = new Set();
    const limiter = new DynamicsCompressorNode(context, { threshold: -18, ratio: 8 });
    this.output = new GainNode(context, { gain: 0.4 });
    this.output.connect(limiter).connect(context.destination);
    this.waves = VOICES.map(({ partials }) => new PeriodicWave(context, { imag: [0, ...partials] }));
    this.noise = new AudioBuffer({ length: context.sampleRate, sampleRate: context.sampleRate });
    const samples = this.noise.getChannelData(0);
    for (let i = 0; i < samples.length; i++) samples[i] = 2 * Math.random() - 1;
  }

  // Schedules a note from `start` to `end`, in seconds of the context's clock.
  play({ pitch, velocity, voice }, start, end) {
    if (this.sources.size >= MOST_SOURCES) return;
    const loudness = (velocity / 127) ** 1.6;
    if (voice === DRUMS) this.strike(DRUM_OF_KEY.get(pitch) ?? OTHER_DRUM, loudness, start);
    else this.tone(VOICES[voice], this.waves[voice], 440 * 2 ** ((pitch - 69) / 12), loudness, start, end);
  }

  tone({ level, attack, decay, sustain, release }, periodicWave, frequency, loudness, start, end) {
    const source = new OscillatorNode(this.context, { frequency, periodicWave });
    const volume = new GainNode(this.context, { gain: 0 });
    const peak = level * loudness;
    const released = Math.max(end, start + attack);
    volume.gain.setValueAtTime(0, start);
    volume.gain.linearRampToValueAtTime(peak, start + attack);
    volume.gain.setTargetAtTime(peak * sustain, start + attack, decay);
    volume.gain.setTargetAtTime(0, released, release);
    this.run(source, volume, start, released + 6 * release);
  }

  strike({ falls, filter, at, level, lasts }, loudness, start) {
    const envelope = () => {
      const volume = new GainNode(this.context, { gain: 0 });
      volume.gain.setValueAtTime(level * loudness, start);
      volume.gain.exponentialRampToValueAtTime(0.001 * level, start + lasts);
      return volume;
    };
    if (falls) {
      const source = new OscillatorNode(this.context, { frequency: falls[0] });
      source.frequency.setValueAtTime(falls[0], start);
      source.frequency.exponentialRampToValueAtTime(falls[1], start + lasts / 2);
      this.run(source, envelope(), start, start + lasts);
    }
    if (filter) {
      const source = new AudioBufferSourceNode(this.context, { buffer: this.noise, loop: true });
      const shaped = new BiquadFilterNode(this.context, { type: filter, frequency: at });
      source.connect(shaped);
      this.run(source, envelope(), start, start + lasts, shaped);
    }
  }

  run(source, volume, start, end, last = source) {
    last.connect(volume).connect(this.output);
    source.start(start);
    source.stop(end);
    this.sources.add(source);
    source.addEventListener("ended", () => {
      this.sources.delete(source);
      volume.disconnect();
    });
  }

  silence() {
    for (const source of this.sources) source.stop();
    this.sources.clear();
  }
}

// Plays one song at a time. changed() is called when it starts or stops playing.
class Player {
  constructor(changed) {
    Object.assign(this, { changed, notes: [], length: 0, rest: 0, playing: false });
  }

  // Takes the notes of a song, "" for none, and returns to its start. length: of the song in seconds, if known.
  load(text, length) {
    this.pause();
    this.notes = notesOf(text);
    this.length = this.notes.reduce((latest, note) => Math.max(latest, note.end), length ?? 0);
    this.rest = 0;
  }

  // Seconds from the start of the song.
  get position() {
    if (!this.playing) return this.rest;
    return Math.min(this.length, Math.max(this.rest, this.context.currentTime - this.zero));
  }

  // Whether the clock stands still, as it does in Firefox where there is no sound device.
  get isStuck() {
    return this.playing && this.looks >= LOOKS_TO_WAIT && this.context.currentTime === this.begunAt;
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  play() {
    if (!this.notes.length || this.playing) return;
    this.context ??= new AudioContext(); // not before a button is pressed: browsers allow no sound without that
    this.band ??= new Band(this.context);
    this.context.resume();
    if (this.rest >= this.length) this.rest = 0;
    this.playing = true;
    this.begin();
    this.timer = setInterval(() => this.look(), LOOK_EVERY);
    this.changed();
  }

  pause() {
    if (!this.playing) return;
    this.rest = this.position;
    this.playing = false;
    clearInterval(this.timer);
    this.band.silence();
    this.context.suspend();
    this.changed();
  }

  // Goes to a time in seconds; what plays goes on from there.
  seek(seconds) {
    this.rest = Math.min(this.length, Math.max(0, seconds));
    if (!this.playing) return;
    this.band.silence();
    this.begin();
  }

  begin() {
    this.begunAt = this.context.currentTime;
    this.zero = this.begunAt + START_DELAY - this.rest;
    this.looks = 0;
    this.next = 0;
    this.schedule();
  }

  schedule() {
    const until = this.context.currentTime - this.zero + AHEAD;
    for (; this.next < this.notes.length && this.notes[this.next].start < until; this.next++) {
      const note = this.notes[this.next];
      const begun = note.start < this.rest;
      if (begun && (note.voice === DRUMS || note.end < this.rest + SHORTEST_REST)) continue;
      this.band.play(note, this.zero + Math.max(note.start, this.rest), this.zero + note.end);
    }
  }

  look() {
    this.looks++;
    if (this.position < this.length) return this.schedule();
    this.pause();
    this.rest = 0;
    this.changed();
  }
}

// The queue's clock, as far as a browser can know it. The local clock may be wrong by hours and may be set while the
// page is open, so it is never asked what time it is; performance.now() only ever goes forward, and every answer of the
// gateway says what the queue's clock read. An answer's `now` lies between the moments at which it was asked for and
// received, so each one narrows down where the two clocks stand to each other, and the best round trip decides.

// Clocks of computers drift apart by up to about 100 millionths; an old bound is that much less certain.
const DRIFT = 1e-4;
// performance.now() stands still while some machines sleep. Date goes on; when it gets ahead by this much, they slept
// (or somebody has set the clock), and everything has to be measured again.
const JUMP_MS = 1_000;

export class QueueClock {
  #steady;
  #wall;
  #low = -Infinity; // queue's time minus steady time is at least this …
  #high = Infinity; // … and at most this
  #measuredAt = 0;
  #apart;
  #slept = 0;
  /** How often the machine has slept, or the local clock was set, as far as `look` has seen. */
  sleeps = 0;

  constructor(steady = () => performance.now(), wall = () => Date.now()) {
    this.#steady = steady;
    this.#wall = wall;
    this.#apart = wall() - steady();
  }

  /** The steady clock, to be read before asking. */
  steady() {
    return this.#steady();
  }

  /** An answer that was asked for at `askedAt` (of the steady clock; null: it came unasked) says `now`. */
  learn(now, askedAt = null) {
    const heardAt = this.#steady();
    const loosened = (heardAt - this.#measuredAt) * DRIFT;
    const low = now - heardAt;
    // A millisecond is an interval too: the queue's clock was somewhere within it.
    const high = askedAt === null ? Infinity : now + 1 - askedAt;
    const bounds = [Math.max(low, this.#low - loosened), Math.min(high, this.#high + loosened)];
    // Bounds that contradict each other mean that one of the clocks was set: the newest counts.
    [this.#low, this.#high] = bounds[0] <= bounds[1] ? bounds : [low, high];
    this.#measuredAt = heardAt;
    if (askedAt !== null) this.#slept = 0;
  }

  /** The queue's time in milliseconds, at a moment of the steady clock; null before the first answer. */
  now(steady = this.#steady()) {
    if (this.#low === -Infinity) return null;
    const apart = this.#high === Infinity ? this.#low : (this.#low + this.#high) / 2;
    return Math.floor(steady + apart);
  }

  /** How far off `now()` may be, in milliseconds. */
  get uncertainMs() {
    return (this.#high - this.#low) / 2;
  }

  /** Notices that the machine has slept since the last look; then what was measured is worth nothing. */
  look() {
    const apart = this.#wall() - this.#steady();
    const jump = apart - this.#apart;
    this.#apart = apart;
    if (Math.abs(jump) < JUMP_MS) return;
    this.sleeps += 1;
    this.#slept += jump;
    this.#high = Infinity; // time may have passed unseen, so the queue's clock can only be later
  }

  /** No answer is to be had: believe the local clock about how long the sleep was. */
  assumeSlept() {
    if (this.#slept > 0) this.#low += this.#slept;
    this.#slept = 0;
  }
}

const clocks = new Map();

/** One clock for each gateway, so that everything on a page that is drawn from it agrees. */
export function clockOf(gateway) {
  if (!clocks.has(gateway)) clocks.set(gateway, new QueueClock());
  return clocks.get(gateway);
}

const DRAW_MS = 100;
const drawn = new Set();
let ticking = null;

/** Calls `draw(steady)` from now on, everybody's for the same moment; it only draws and never counts. */
export function keepDrawing(draw) {
  drawn.add(draw);
  ticking ??= setInterval(drawAll, DRAW_MS);
}

export function stopDrawing(draw) {
  drawn.delete(draw);
  if (drawn.size || ticking === null) return;
  clearInterval(ticking);
  ticking = null;
}

function drawAll() {
  const steady = performance.now();
  for (const clock of clocks.values()) clock.look();
  for (const draw of [...drawn]) draw(steady);
}

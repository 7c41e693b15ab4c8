/** Waiting, always with a limit. */

const TIMER_MS_MAX = 2 ** 31 - 1;

/** Something did not happen in time. */
export class TimeLimitError extends Error {}

/** The monotonic clock in milliseconds. */
export function now_ms() {
  return performance.now();
}

/**
 * What a promise gives, if that comes in time.
 *
 * The promise itself goes on; when it fails later nobody is told.
 *
 * @template T
 * @param {PromiseLike<T>} promise
 * @param {number} limit_ms
 * @param {string} message of the error
 * @returns {Promise<T>}
 * @throws {TimeLimitError} it does not come in time
 */
export async function within(promise, limit_ms, message) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = new Promise((_, reject) => {
    timer = set_timer(() => reject(new TimeLimitError(message)), limit_ms);
  });
  try {
    return await Promise.race([promise, /** @type {Promise<never>} */ (late)]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Wait; cut short by a signal.
 *
 * @param {number} limit_ms
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
export function sleep(limit_ms, signal) {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = set_timer(done, limit_ms);
    signal.addEventListener("abort", done);
  });
}

/**
 * Pauses between attempts: none at first (a connection left idle was cut), then growing.
 *
 * @returns {Generator<number, never>}
 */
export function* pauses_ms() {
  yield 0;
  for (let pause_ms = 50; ; pause_ms = Math.min(1_000, 2 * pause_ms)) yield pause_ms;
}

/** So many at once, and no more; the others wait in line. */
export class Slots {
  /** @type {Set<() => void>} */
  #line = new Set();
  #free;

  /** @param {number} number */
  constructor(number) {
    this.#free = number;
  }

  /**
   * Take a slot; false if none got free in time.
   *
   * @param {number} limit_ms
   * @returns {Promise<boolean>}
   */
  async enter(limit_ms) {
    if (this.#free > 0) {
      this.#free -= 1;
      return true;
    }
    return new Promise((resolve) => {
      const admit = () => {
        clearTimeout(timer);
        resolve(true);
      };
      const timer = set_timer(() => {
        this.#line.delete(admit);
        resolve(false);
      }, limit_ms);
      this.#line.add(admit);
    });
  }

  /** Give a slot back: to the first in line, if there is one. */
  leave() {
    const [first] = this.#line;
    if (first === undefined) {
      this.#free += 1;
    } else {
      this.#line.delete(first);
      first();
    }
  }
}

/**
 * @param {() => void} call
 * @param {number} limit_ms
 */
function set_timer(call, limit_ms) {
  return setTimeout(call, Math.min(Math.max(0, limit_ms), TIMER_MS_MAX)); // beyond, Node would not wait
}

// Server-sent events read with fetch, because EventSource can't send a token. Keeps one stream open: comes back with
// Last-Event-ID after whatever ended it, waits longer after each failure, and at random, so that a gateway that comes
// back is not met by everybody at once.

const PAUSE_MS = 500;
const PAUSE_MS_MAX = 30_000;
// A comment comes every 15 s. After twice that and a bit the connection is dead, though nobody has said so.
const SILENCE_MS_MAX = 40_000;
// So long may an answer take to begin.
const OPEN_MS_MAX = 15_000;
// A stream that is there again so soon was never lost, for whoever looks at it.
const LOST_AFTER_MS = 2_000;

/** The gateway has refused, and says why in `problem` (RFC 9457). */
export class RefusedError extends Error {
  constructor(response, problem) {
    super(problem.detail || problem.title || `the gateway answers ${response.status}`);
    this.name = "RefusedError";
    this.status = response.status;
    this.code = problem.code ?? "";
    this.problem = problem;
    this.retryAfterMs = Number(response.headers.get("Retry-After") ?? 0) * 1000 || 0;
  }
}

/** The answer's error as an exception, if it is one. */
export async function refuse(response) {
  if (response.ok) return response;
  throw new RefusedError(response, await response.json().catch(() => ({})));
}

/** Cuts text, however it was chopped up on the way, into messages: {event, id, data}. */
export class Messages {
  #rest = "";
  #event = "";
  #data = [];
  #id = null;

  push(text) {
    // A \r at the end may be half of a \r\n, so it waits for what follows.
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop();
    return lines.flatMap((line) => this.#line(line));
  }

  #line(line) {
    if (line === "") return this.#message();
    const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (name === "event") this.#event = value;
    else if (name === "data") this.#data.push(value);
    else if (name === "id") this.#id = value;
    return [];
  }

  #message() {
    const [event, data, id] = [this.#event || "message", this.#data.join("\n"), this.#id];
    const isMessage = this.#data.length > 0;
    [this.#event, this.#data, this.#id] = ["", [], null];
    return isMessage ? [{ event, id, data: JSON.parse(data) }] : [];
  }
}

/**
 * One stream, kept open until `close`.
 *
 * `token(refused)` gives the token, another one if `refused` says why the last is over; `hear(message, askedAt)` gets
 * each message; `tell(state, error)` is told "live", "lost" (it goes on trying) or "refused" (it does not).
 */
export class Stream {
  #url;
  #token;
  #hear;
  #tell;
  #clock;
  #lastId = null;
  #isClosed = false;
  #wasHeard = false;
  #failures = 0;
  #lost = null;
  #wake = () => {};
  #current = null;

  constructor({ url, token, hear, tell, clock }) {
    [this.#url, this.#token, this.#hear, this.#tell, this.#clock] = [url, token, hear, tell, clock];
    this.#run();
  }

  close() {
    this.#isClosed = true;
    clearTimeout(this.#lost);
    this.#current?.abort();
    this.#wake();
  }

  /** The network is back, or somebody looks again: do not wait any longer. */
  retry() {
    this.#wake();
  }

  /** The connection is known to be dead. */
  drop() {
    this.#current?.abort();
  }

  async #run() {
    let refused = null;
    while (!this.#isClosed) {
      const error = await this.#once(refused);
      if (this.#isClosed) return;
      if (error.isFinal) return this.#refused(error);
      // A new token is requested once, at once; if the next one is refused too, something else is wrong.
      this.#mayBeLost(error);
      const isStale = error.status === 401 || error.reason === "token_expired";
      const atOnce = isStale && !refused;
      refused = isStale ? error : null;
      if (!atOnce) await this.#pause(error);
    }
  }

  #refused(error) {
    clearTimeout(this.#lost);
    this.#tell("refused", error);
  }

  /** After a failure at once; after an end, if the next attempt takes long. */
  #mayBeLost(error) {
    clearTimeout(this.#lost);
    const after = this.#failures ? 0 : LOST_AFTER_MS;
    this.#lost = setTimeout(() => this.#isClosed || this.#tell("lost", error), after);
  }

  /** One connection, to its end; returns why it ended. */
  async #once(refused) {
    this.#current = new AbortController();
    this.#wasHeard = false;
    try {
      return await this.#read(await this.#open(refused));
    } catch (error) {
      if (error instanceof RefusedError) error.isFinal ??= isFinal(error);
      return error;
    } finally {
      this.#current.abort();
      if (!this.#wasHeard) this.#failures += 1;
    }
  }

  async #open(refused) {
    const token = await this.#token(refused);
    const headers = { Authorization: `Bearer ${token}`, Accept: "text/event-stream" };
    if (this.#lastId !== null) headers["Last-Event-ID"] = this.#lastId;
    const askedAt = this.#clock.steady();
    const { signal } = this.#current;
    const watch = setTimeout((current) => current.abort(), OPEN_MS_MAX, this.#current);
    try {
      const response = await fetch(this.#url, { headers, signal, cache: "no-store", credentials: "omit" });
      return { response: await refuse(response), askedAt };
    } finally {
      clearTimeout(watch);
    }
  }

  async #read({ response, askedAt }) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const messages = new Messages();
    clearTimeout(this.#lost);
    this.#tell("live", null);
    for (let first = askedAt; ; first = null) {
      const { done, value } = await this.#chunk(reader);
      if (done) return ended("closed");
      for (const message of messages.push(value)) {
        if (message.event === "end") return ended(message.data.reason);
        // Only what comes first can be an answer to the question; the rest came when it happened.
        this.#hear(message, message.event === "snapshot" ? first : null);
        if (message.id !== null) this.#lastId = message.id;
      }
      this.#wasHeard = true;
      this.#failures = 0;
    }
  }

  async #chunk(reader) {
    const { signal } = this.#current;
    let stop;
    const silence = new Promise((_, reject) => {
      const watch = setTimeout(() => reject(new Error("nothing was heard for too long")), SILENCE_MS_MAX);
      const aborted = () => reject(new Error("the connection is lost"));
      signal.throwIfAborted();
      signal.addEventListener("abort", aborted, { once: true });
      stop = () => {
        clearTimeout(watch);
        signal.removeEventListener("abort", aborted);
      };
    });
    try {
      return await Promise.race([reader.read(), silence]);
    } finally {
      stop();
    }
  }

  async #pause(error) {
    const longest = Math.min(PAUSE_MS * 2 ** this.#failures, PAUSE_MS_MAX);
    const pause = Math.max(error?.retryAfterMs ?? 0, longest * (0.5 + Math.random() / 2));
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, pause);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = () => {};
  }
}

function ended(reason) {
  return Object.assign(new Error(`the stream has ended: ${reason}`), { reason });
}

/** What no waiting will fix: the request or the right to it is wrong. 401 is, if no other token can be had. */
function isFinal(error) {
  const { status } = error;
  return status >= 400 && status < 500 && ![401, 408, 425, 429].includes(status);
}

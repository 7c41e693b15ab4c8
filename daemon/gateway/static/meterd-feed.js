// One stream for all clocks of a page that listen to the same thing. Browsers open no more than six connections to a
// server that speaks HTTP/1.1, for all tabs together, and a stream keeps one of them.

import { newer } from "./meterd-draw.js";
import { Stream } from "./meterd-stream.js";

const feeds = new Set();

/** The page's function has given no token, or has failed; why is in `cause`. */
export class NoTokenError extends Error {
  constructor(cause) {
    super("the page gives no token", { cause });
    this.name = "NoTokenError";
  }
}

/** The token of a source: a string, or a function that gives one, another one each time that it is called. */
export async function tokenOf(source, refused) {
  if (typeof source === "function") return ask(source);
  // There is only this one, so asking again will not help.
  if (refused) throw Object.assign(refused, { isFinal: true });
  return source;
}

async function ask(source) {
  let token;
  try {
    token = await source();
  } catch (error) {
    throw new NoTokenError(error);
  }
  if (typeof token !== "string" || !token) throw new NoTokenError();
  return token;
}

/**
 * Listens to `url` with tokens from `source`: `listener.hear(message)` and `listener.tell(link, problem)` are called
 * until `leave`. Whoever comes later hears the wallet first, in a snapshot without chats.
 */
export function join(url, source, clock, listener) {
  const found = [...feeds].find((feed) => feed.url === url && feed.source === source && feed.link !== "refused");
  const feed = found ?? new Feed(url, source, clock);
  feed.add(listener);
  return feed;
}

class Feed {
  link = "connecting";
  #listeners = new Set();
  #problem = null;
  #wallet = null;
  #wasHeard = false;
  #clock;
  #stream;

  constructor(url, source, clock) {
    [this.url, this.source, this.#clock] = [url, source, clock];
    feeds.add(this);
    this.#stream = new Stream({
      url,
      clock,
      token: (refused) => tokenOf(this.source, refused),
      hear: (message, askedAt) => this.#hear(message, askedAt),
      tell: (link, problem) => this.#tell(link, problem),
    });
  }

  add(listener) {
    this.#listeners.add(listener);
    queueMicrotask(() => this.#greet(listener));
  }

  leave(listener) {
    this.#listeners.delete(listener);
    if (this.#listeners.size) return;
    feeds.delete(this);
    this.#stream.close();
  }

  /** Another function for the same token, as a framework makes one with each draw; false: that needs another feed. */
  replaceSource(source) {
    const isOurs = this.#listeners.size <= 1 && this.link !== "refused";
    if (!isOurs || typeof source !== "function" || typeof this.source !== "function") return false;
    this.source = source;
    this.retry();
    return true;
  }

  retry() {
    this.#stream.retry();
  }

  drop() {
    this.#stream.drop();
  }

  #greet(listener) {
    if (!this.#listeners.has(listener)) return;
    if (this.link !== "connecting") listener.tell(this.link, this.#problem);
    if (this.#wasHeard) listener.hear({ event: "snapshot", data: { wallet: this.#wallet, chats: [] } });
  }

  #hear(message, askedAt) {
    this.#clock.learn(message.data.now, askedAt);
    this.#wallet = newer(this.#wallet, message.data.wallet);
    this.#wasHeard = true;
    this.#each((listener) => listener.hear(message));
  }

  #tell(link, problem) {
    [this.link, this.#problem] = [link, problem];
    if (link === "lost") this.#clock.assumeSlept();
    this.#each((listener) => listener.tell(link, problem));
  }

  /** Those who are still there when their turn comes: what one of them does may make another one leave. */
  #each(call) {
    for (const listener of [...this.#listeners]) if (this.#listeners.has(listener)) call(listener);
  }
}

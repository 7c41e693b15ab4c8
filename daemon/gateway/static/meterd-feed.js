// One stream for all clocks of a page that listen to the same thing. Browsers open no more than six connections to a
// server that speaks HTTP/1.1, for all tabs together, and a stream keeps one of them.

import { newer } from "./meterd-draw.js";
import { Stream } from "./meterd-stream.js";

// The gateway follows 100 chats on a stream; with half of them no address gets too long.
const CHATS_MAX = 50;
const IDENTIFIER = /^[A-Za-z0-9_.:@/+=-]{1,128}$/;
const feeds = new Set();

/** The page's function has given no token, or has failed; why is in `cause`. */
export class NoTokenError extends Error {
  constructor(cause) {
    super("the page gives no token", { cause });
    this.name = "NoTokenError";
  }
}

/** The wallets of a message: of one user, or of those whose chats are followed. */
export function walletsOf({ wallet, wallets }) {
  return (wallets ?? [wallet]).filter((each) => each !== null);
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
 * Listens to what becomes of a chat: with a user to the user's stream, otherwise to one for up to 50 chats of whatever
 * users. `listener.hear(message)` and `listener.tell(link, problem)` are called until `leave`. Whoever comes later hears
 * the wallets first, in a snapshot without chats.
 */
export function join({ gateway, user, chat }, source, clock, listener) {
  const url = new URL(user ? `v1/users/${encodeURIComponent(user)}/stream` : "v1/stream", gateway).href;
  // What can't be a chat's name is refused, and would be with all that share its list.
  const key = user || IDENTIFIER.test(chat) ? url : `${url}#${chat}`;
  const isFit = (feed) => feed.key === key && feed.source === source && feed.link !== "refused";
  const found = [...feeds].find((feed) => isFit(feed) && (user || feed.hasRoom(chat)));
  const feed = found ?? new Feed(url, key, source, clock, !user);
  feed.add(listener, chat);
  return feed;
}

class Feed {
  link = "connecting";
  #listeners = new Map(); // to the chats they listen for
  #problem = null;
  #wallets = new Map();
  #wasHeard = false;
  #url;
  #clock;
  #isList;
  #followed = new Set();
  #stream = null;
  #opening = null;

  constructor(url, key, source, clock, isList) {
    [this.key, this.source, this.#url, this.#clock, this.#isList] = [key, source, url, clock, isList];
    feeds.add(this);
  }

  hasRoom(chat) {
    const chats = new Set(this.#listeners.values());
    return chats.has(chat) || chats.size < CHATS_MAX;
  }

  add(listener, chat) {
    this.#listeners.set(listener, chat);
    // Later, so that all clocks that come together are in one list.
    this.#opening ??= setTimeout(() => this.#open());
    if (!this.#isList || this.#followed.has(chat)) queueMicrotask(() => this.#greet(listener));
  }

  leave(listener) {
    this.#listeners.delete(listener);
    // Later, because an element that is moved within its page leaves and comes back.
    setTimeout(() => this.#listeners.size || this.#close());
  }

  #open() {
    this.#opening = null;
    const chats = this.#isList ? new Set(this.#listeners.values()) : new Set();
    const isFollowed = this.#stream !== null && [...chats].every((chat) => this.#followed.has(chat));
    if (isFollowed || !this.#listeners.size) return;
    this.#followed = chats;
    this.#stream?.close();
    const query = new URLSearchParams([...chats].map((chat) => ["chat_id", chat]));
    this.#stream = new Stream({
      url: this.#isList ? `${this.#url}?${query}` : this.#url,
      clock: this.#clock,
      token: (refused) => tokenOf(this.source, refused),
      hear: (message, askedAt) => this.#hear(message, askedAt),
      tell: (link, problem) => this.#tell(link, problem),
    });
  }

  #close() {
    feeds.delete(this);
    clearTimeout(this.#opening);
    this.#stream?.close();
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
    this.#stream?.retry();
  }

  drop() {
    this.#stream?.drop();
  }

  #greet(listener) {
    if (!this.#listeners.has(listener)) return;
    if (this.link !== "connecting") listener.tell(this.link, this.#problem);
    if (this.#wasHeard) listener.hear({ event: "snapshot", data: { wallets: [...this.#wallets.values()], chats: [] } });
  }

  #hear(message, askedAt) {
    this.#clock.learn(message.data.now, askedAt);
    for (const wallet of walletsOf(message.data)) {
      this.#wallets.set(wallet.user_id, newer(this.#wallets.get(wallet.user_id) ?? null, wallet));
    }
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
    for (const listener of [...this.#listeners.keys()]) if (this.#listeners.has(listener)) call(listener);
  }
}

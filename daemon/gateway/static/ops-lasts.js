// Until when the accounts of a list's chats last. A list has no wallets; the first message of a stream of these chats has
// those of all their users, in one question.

import { Messages, refuse } from "./meterd-stream.js";
import { BASE, token } from "./page-api.js";

const ASK_MS_MAX = 10_000;

export class Lasts {
  #zeroAt = new Map();

  /** When the credits of a chat's account end; null if they do not, or if that is not known yet. */
  of(chat) {
    return this.#zeroAt.get(chat.user_id) ?? null;
  }

  /** Asks for the accounts of those that run; without an answer what was known stays. */
  async ask(chats) {
    const running = chats.filter(({ status }) => status === "running");
    if (!running.length) return;
    try {
      for (const { user_id: user, zero_at: end } of await walletsOf(running)) this.#zeroAt.set(user, end);
    } catch {
      // The list itself has been answered: what is wrong with the gateway is said there next time.
    }
  }
}

async function walletsOf(chats) {
  const url = new URL("v1/stream", BASE);
  for (const { chat_id: id } of chats) url.searchParams.append("chat_id", id);
  const ending = new AbortController();
  const signal = AbortSignal.any([ending.signal, AbortSignal.timeout(ASK_MS_MAX)]);
  const headers = { Authorization: `Bearer ${token()}`, Accept: "text/event-stream" };
  const response = await refuse(await fetch(url, { headers, signal, cache: "no-store", credentials: "omit" }));
  try {
    return await firstOf(response.body.pipeThrough(new TextDecoderStream()).getReader());
  } finally {
    ending.abort();
  }
}

async function firstOf(reader) {
  const messages = new Messages();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return [];
    const first = messages.push(value).find(({ event }) => event === "snapshot");
    if (first) return first.data.wallets;
  }
}

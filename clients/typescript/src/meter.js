/** The client. */

import { is_cluster_url } from "./cluster.js";
import { Commands } from "./commands.js";
import { fault_of_url } from "./connection.js";
import { Core } from "./core.js";
import { Events } from "./events.js";
import { RedisServers } from "./servers.js";

/** @import { EventsOptions } from "./events.js" */
/** @import { ChatSnapshot, Reply, Sent, WalletSnapshot } from "./results.js" */

/**
 * Gives the record of a chat that Redis does not have, with the fields of a snapshot; null if
 * there is none.
 *
 * @typedef {(chat_id: string) => Promise<object | null> | object | null} ReadRecord
 */

/**
 * @typedef {object} MeterOptions
 * @property {number | undefined} [in_flight_max] commands that may wait for their replies at once, 5 000 by default
 * @property {ReadRecord | undefined} [read_record] where `snapshot` finds chats that ended more than a day ago
 */

/** Half of what a reply stream holds: replies that nobody waits for any more take room too. */
const IN_FLIGHT_MAX = 5_000;

/**
 * Commands, snapshots and events; any number of calls may share one client.
 *
 * Nothing is connected before the first call. `close` it, or its connections keep the process
 * alive.
 *
 * @extends {Commands<Reply<ChatSnapshot>, Reply<WalletSnapshot>>}
 */
export class Meter extends Commands {
  #core;
  #enqueue;

  /**
   * Name the server; nothing is connected yet.
   *
   * @param {string | readonly string[]} redis_url the queue; several URLs, in the daemon's order, if several servers share it
   * @param {MeterOptions} [options]
   */
  constructor(redis_url, { in_flight_max = IN_FLIGHT_MAX, read_record } = {}) {
    const urls = Array.isArray(redis_url) ? redis_url : [redis_url];
    for (const url of urls) {
      const fault = fault_of_url(url);
      if (fault !== null) throw new TypeError(fault);
    }
    if (urls.length === 0) throw new TypeError("redis_url: name one URL at least");
    if (urls.length > 1 && urls.some(is_cluster_url)) {
      throw new TypeError("redis_url: a cluster has all partitions; name no other URL beside it");
    }
    const core = new Core(new RedisServers(urls), in_flight_max, read_record);
    super((fields, sending) => core.command(fields, sending));
    this.#core = core;
    /** @type {Commands<Sent, Sent>} */
    this.#enqueue = new Commands((fields, sending) => core.enqueue(fields, sending));
  }

  /**
   * The same commands without waiting for replies.
   *
   * Each method gives `Sent`, the command's id and its place in the queue, as soon as Redis has
   * confirmed it. What the daemon makes of it is seen in the events and the journal only.
   */
  get enqueue() {
    return this.#enqueue;
  }

  /**
   * The chat as it is, or was; `not_started` if it never was.
   *
   * A day after its end a chat leaves Redis. A client with `read_record` then asks that; **a
   * client without answers** `not_started` **as if it had never been.**
   *
   * `UnavailableError`: Redis or `read_record` did not answer. `ClosedError`: the client was closed.
   *
   * @param {string} chat_id
   * @returns {Promise<ChatSnapshot>}
   */
  snapshot(chat_id) {
    return this.#core.chat(chat_id);
  }

  /**
   * The account as of its last change; zeros if it never had a credit.
   *
   * `UnavailableError`: Redis did not answer. `ClosedError`: the client was closed.
   *
   * @param {string} user_id
   * @returns {Promise<WalletSnapshot>}
   */
  wallet(user_id) {
    return this.#core.wallet(user_id);
  }

  /**
   * Events in order, for ever: `for await (const event of meter.events())`.
   *
   * `EventsLostError`, from the iterator: events may have left the stream unread.
   * `UnavailableError`, from the iterator: Redis did not answer for 10 seconds.
   *
   * @param {EventsOptions} [options]
   * @returns {Events}
   */
  events(options = {}) {
    this.#core.check_open();
    return new Events(this.#core, options);
  }

  /**
   * Let go of everything, at once; commands that still wait for replies get `NoReplyError`.
   *
   * @returns {Promise<void>}
   */
  async close() {
    this.#core.close();
  }
}

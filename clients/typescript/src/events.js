/** Reading events: in order, each once, and an error rather than a gap. */

import { BLOCK_MS } from "./connection.js";
import { TIMEOUT_S, fields_of, unless_unavailable } from "./core.js";
import { EventsLostError, UnavailableError } from "./errors.js";
import { now_ms } from "./limits.js";
import { Event } from "./results.js";

/** @import { Connection } from "./connection.js" */
/** @import { Core, Entries } from "./core.js" */
/** @import { Keys } from "./keys.js" */
/** @import { Raw } from "./results.js" */

/**
 * Which events.
 *
 * @typedef {object} EventsOptions
 * @property {string | undefined} [after] `after` of the events that were read last, which is the id of the last
 *   one; `$`, the default: those from now on; `0`: all that the stream still holds
 * @property {string | undefined} [user_id] those of one user only
 */

/**
 * A stream's state and what comes next in it.
 *
 * @typedef {{ number: number, info: unknown, entries: unknown }} Found
 */

const EVENTS_READ_MAX = 500;
/** For so long nobody asks a server again that did not answer, if others do. */
const AWAY_MS = 1_000;
const PLACE = /^(\$|[0-9]{1,20}(-[0-9]{1,20})?)$/;

/**
 * An endless asynchronous iterator over events; `close` ends it, and so does leaving a
 * `for await` loop.
 *
 * `$` means from the first event asked for, or from `begin` on.
 *
 * @implements {AsyncIterableIterator<Event>}
 */
export class Events {
  #core;
  /** @type {Map<string, Connection>} by server: what is there is read on these */
  #readers = new Map();
  /** @type {Map<string, Connection>} by server: what comes is waited for on these, where there are several */
  #waiters = new Map();
  /** @type {Map<string, Promise<void>>} waits that have not ended, by server */
  #waits = new Map();
  /** @type {Map<string, number>} until when a server is not asked that did not answer */
  #away_until_ms = new Map();
  #user_id;
  #is_closed = false;
  /** @type {string[]} a place in the stream of each partition */
  #places;
  /** @type {string[]} */
  #read_up_to;
  /** @type {string[]} */
  #streams = [];
  /** @type {{ number: number, id: string, fields: Raw }[]} */
  #ready = [];
  /** @type {Promise<unknown>} */
  #turn = Promise.resolve();

  /**
   * @param {Core} core
   * @param {EventsOptions} options
   * @internal
   */
  constructor(core, { after = "$", user_id }) {
    this.#places = String(after).split(",");
    if (!this.#places.every((place) => PLACE.test(place))) {
      throw new TypeError(`after: ${JSON.stringify(after)} is neither a place among events nor "$" nor "0"`);
    }
    this.#read_up_to = this.#places;
    this.#core = core;
    this.#user_id = user_id;
  }

  /** The place up to which everything was given out: where to go on another time. */
  get after() {
    return this.#places.join(",");
  }

  /**
   * Fix what `$` means, now: events that happen after this will be read.
   *
   * @returns {Promise<this>}
   */
  async begin() {
    if (this.#streams.length > 0) return this;
    const all = await this.#all_keys();
    const [given, number] = [this.#places.length, all.length];
    if (given !== 1 && given !== number) {
      throw new TypeError(`after: it names ${given} places; there are ${number} partitions`);
    }
    this.#places = await Promise.all(
      all.map(async (keys, index) => {
        const place = String(this.#places[given === 1 ? 0 : index]);
        // Once: asked again with every read it would leave gaps.
        return place === "$" ? this.#end_of(keys) : place;
      }),
    );
    this.#read_up_to = [...this.#places];
    this.#streams = all.map((keys) => keys.events);
    return this;
  }

  /**
   * The next event, as soon as there is one.
   *
   * @returns {Promise<IteratorResult<Event, undefined>>}
   */
  async next() {
    const [event] = await this.#in_turn(1);
    return event === undefined ? { done: true, value: undefined } : { done: false, value: event };
  }

  /**
   * The next events, as many as have come: for who follows everything. Empty once closed.
   *
   * @returns {Promise<Event[]>}
   */
  batch() {
    return this.#in_turn(EVENTS_READ_MAX);
  }

  /** End the iteration. */
  close() {
    this.#is_closed = true;
    for (const connection of [...this.#readers.values(), ...this.#waiters.values()]) {
      this.#core.release(connection);
    }
  }

  /**
   * What leaving a `for await` loop calls: ends the iteration.
   *
   * @returns {Promise<IteratorResult<Event, undefined>>}
   */
  async return() {
    this.close();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  /** @param {Keys} keys */
  async #end_of(keys) {
    const reader = this.#at(this.#readers, this.#servers.url_of(keys.partition));
    const last = await this.#core.query(reader, "XREVRANGE", keys.events, "+", "-", "COUNT", 1);
    return /** @type {Entries} */ (last)[0]?.[0] ?? "0-0";
  }

  get #servers() {
    return this.#core.routing.servers;
  }

  /**
   * The connection to a server.
   *
   * @param {Map<string, Connection>} connections
   * @param {string} url
   */
  #at(connections, url) {
    const found = connections.get(url) ?? this.#core.open(url);
    connections.set(url, found);
    if (this.#is_closed) this.#core.release(found);
    return found;
  }

  get #is_over() {
    return this.#is_closed || this.#core.is_closed;
  }

  /**
   * Calls that overlap get their events one after the other.
   *
   * @param {number} number_max
   * @returns {Promise<Event[]>}
   */
  #in_turn(number_max) {
    const taking = this.#turn.then(() => this.#take(number_max));
    this.#turn = taking.catch(() => {});
    return taking;
  }

  /** @param {number} number_max */
  async #take(number_max) {
    try {
      await this.#fill();
    } catch (error) {
      if (this.#is_over) return []; // closing cut the connection
      throw error;
    }
    if (this.#is_over) return [];
    return this.#ready.splice(0, number_max).map(({ number, id, fields }) => {
      this.#places[number] = id;
      return new Event(this.after, fields);
    });
  }

  /** Wait until something is ready, or until closed. */
  async #fill() {
    if (this.#is_over) return;
    await this.begin();
    while (this.#ready.length === 0 && !this.#is_over) {
      this.#places = [...this.#read_up_to];
      if (await this.#fetch()) continue;
      await this.#wait();
      await this.#widen();
    }
  }

  /** Read all partitions if the first daemon has made them since: all in them is new. */
  async #widen() {
    for (const keys of (await this.#all_keys()).slice(this.#streams.length)) {
      this.#streams.push(keys.events);
      this.#read_up_to.push("0-0");
    }
  }

  #all_keys() {
    return unless_unavailable(() =>
      this.#core.persist(now_ms() + TIMEOUT_S * 1_000, () =>
        this.#core.routing.all_keys((partition, ...command) =>
          this.#at(this.#readers, this.#servers.url_of(partition)).send(...command),
        ),
      ),
    );
  }

  /** Take what is there; false if there is nothing. */
  async #fetch() {
    const found = await this.#look();
    for (const { number, info, entries } of found) {
      if (!Array.isArray(entries)) throw new UnavailableError(`the events can't be read: ${entries}`);
      if (may_have_lost(String(this.#read_up_to[number]), info)) {
        throw new EventsLostError(this.#read_up_to.join(","));
      }
    }
    const taken = found.flatMap(({ number, entries }) =>
      /** @type {Entries} */ (entries).map(([id, parts]) => ({ number, id, fields: fields_of(parts) })),
    );
    // What several partitions have together comes about as it happened.
    taken.sort((one, other) => (is_before(one.id, other.id) ? -1 : 1));
    for (const one of taken) {
      if (this.#user_id === undefined || this.#user_id === one.fields["user_id"]) this.#ready.push(one);
      this.#read_up_to[one.number] = one.id;
    }
    return taken.length > 0;
  }

  /**
   * The state of each stream and what comes next in it, both of the same moment. Streams on a server that
   * is away are left out, unless all are: their events come later.
   *
   * @returns {Promise<Found[]>}
   */
  #look() {
    return unless_unavailable(() =>
      this.#core.persist(now_ms() + TIMEOUT_S * 1_000, async () => {
        const servers = this.#servers_here();
        const answers = await Promise.allSettled(servers.map(([url, numbers]) => this.#look_at(url, numbers)));
        for (const [index, one] of answers.entries()) {
          const url = servers[index]?.[0];
          if (one.status === "rejected" && url) this.#away_until_ms.set(url, now_ms() + AWAY_MS);
        }
        const failed = answers.find((one) => one.status === "rejected");
        const found = answers.flatMap((one) => (one.status === "fulfilled" ? one.value : []));
        if (failed !== undefined && found.length === 0) throw failed.reason;
        return found;
      }),
    );
  }

  /**
   * @param {string} url
   * @param {readonly number[]} numbers
   * @returns {Promise<Found[]>}
   */
  async #look_at(url, numbers) {
    const commands = numbers.flatMap((number) => [
      ["XINFO", "STREAM", String(this.#streams[number])],
      ["XRANGE", String(this.#streams[number]), `(${this.#read_up_to[number]}`, "+", "COUNT", EVENTS_READ_MAX],
    ]);
    const results = await this.#at(this.#readers, url).send_together(...commands);
    return numbers.map((number, index) => {
      const [info, entries] = results.slice(2 * index, 2 * index + 2);
      return { number, info, entries };
    });
  }

  /** The partitions of each server; without servers that were just away, unless all were. */
  #servers_here() {
    const groups = [...this.#servers.groups(this.#streams.length)];
    const here = groups.filter(([url]) => (this.#away_until_ms.get(url) ?? 0) <= now_ms());
    return here.length > 0 ? here : groups;
  }

  /** Until there is more, or for a moment; only wakes, `#fetch` reads. */
  async #wait() {
    const servers = [...this.#servers.groups(this.#streams.length)];
    const [only] = servers;
    if (only !== undefined && servers.length === 1) {
      await this.#core.query(this.#at(this.#readers, only[0]), ...this.#wait_command(only[1]));
      return;
    }
    for (const [url, numbers] of this.#servers_here()) {
      if (this.#waits.has(url)) continue;
      const ended = () => void this.#waits.delete(url);
      // What it fails with is told by the next look.
      this.#waits.set(url, this.#at(this.#waiters, url).send(...this.#wait_command(numbers)).then(ended, ended));
    }
    await Promise.race(this.#waits.values());
  }

  /** @param {readonly number[]} numbers */
  #wait_command(numbers) {
    const limits = ["COUNT", 1, "BLOCK", BLOCK_MS];
    const streams = numbers.map((number) => String(this.#streams[number]));
    return ["XREAD", ...limits, "STREAMS", ...streams, ...numbers.map((number) => String(this.#read_up_to[number]))];
  }
}

/**
 * Whether entries later than `after` may have been trimmed away. Cautious, never careless.
 *
 * @param {string} after
 * @param {unknown} info what XINFO STREAM gives; an error if there is no stream
 */
function may_have_lost(after, info) {
  // Whoever asks for all that is there gets that; without a stream nothing was trimmed.
  if (is_before(after, "0-1") || !Array.isArray(info)) return false;
  const state = new Map();
  for (let index = 0; index + 1 < info.length; index += 2) state.set(info[index], info[index + 1]);
  if (state.get("entries-added") === state.get("length")) return false;
  const oldest = state.get("first-entry")?.[0] ?? state.get("last-generated-id");
  return is_before(after, oldest);
}

/**
 * Whether a place in a stream comes before another one.
 *
 * @param {string} one
 * @param {string} other
 */
function is_before(one, other) {
  const [one_ms, one_number] = place_of(one);
  const [other_ms, other_number] = place_of(other);
  return one_ms < other_ms || (one_ms === other_ms && one_number < other_number);
}

/**
 * @param {string} id
 * @returns {[bigint, bigint]}
 */
function place_of(id) {
  const [at = "0", number = "0"] = id.split("-");
  return [BigInt(at), BigInt(number)];
}

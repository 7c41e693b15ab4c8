/** What the client does: commands with replies, commands without, snapshots. */

import { randomUUID } from "node:crypto";

import { BLOCK_MS, Connection, is_passing } from "./connection.js";
import {
  BusyError,
  ClosedError,
  NoReplyError,
  NotConfirmedError,
  UnavailableError,
  UnknownChatError,
  refusal,
} from "./errors.js";
import { is_identifier, sent_fields } from "./fields.js";
import { Keys } from "./keys.js";
import { Slots, TimeLimitError, now_ms, pauses_ms, sleep, within } from "./limits.js";
import { Pending } from "./pending.js";
import {
  ChatSnapshot,
  Sent,
  WalletSnapshot,
  no_wallet,
  not_started,
  parse_json,
  read_reply,
} from "./results.js";
import { Routing } from "./routing.js";

/** @import { Sending } from "./commands.js" */
/** @import { AnyReply } from "./errors.js" */
/** @import { ReadRecord } from "./meter.js" */
/** @import { Raw } from "./results.js" */
/** @import { Call } from "./routing.js" */
/** @import { RedisServers } from "./servers.js" */

/** Entries of a stream as Redis gives them: id, and names and values in turn. */
/** @typedef {readonly (readonly [string, readonly string[]])[]} Entries */

export const TIMEOUT_S = 10;

const REPLIES_READ_MAX = 1_000;

/** One client: its reply stream, its connections, and the commands that wait for replies. */
export class Core {
  routing;
  reply_to = new_id();
  pending = new Pending();
  #closing = new AbortController();
  /** @type {Set<string>} servers whose replies are being read */
  #reading = new Set();
  /** @type {Map<string, string>} by stream */
  #read_up_to = new Map();
  /** @type {unknown} */
  #reader_error;
  /** @type {Set<Connection>} */
  #connections = new Set();
  #read_record;
  #slots;
  /** @type {Map<string, Connection>} by server */
  #commands = new Map();
  /** @type {Map<string, Connection>} by server */
  #replies = new Map();

  /**
   * Nothing is connected yet.
   *
   * @param {RedisServers} servers
   * @param {number} in_flight_max
   * @param {ReadRecord | undefined} read_record
   */
  constructor(servers, in_flight_max, read_record) {
    this.routing = new Routing(servers);
    this.#read_record = read_record;
    this.#slots = new Slots(in_flight_max);
  }

  get is_closed() {
    return this.#closing.signal.aborted;
  }

  /** No more replies, no more commands; whoever waits is told. */
  close() {
    this.#closing.abort();
    this.pending.fail_all(new ClosedError("the client was closed"));
    for (const connection of this.#connections) connection.close();
    this.#connections.clear();
  }

  /**
   * A connection of its own to a server, for what waits in Redis; closed with the client.
   *
   * @param {string} url
   */
  open(url) {
    const connection = new Connection(url);
    this.#connections.add(connection);
    return connection;
  }

  /**
   * Close a connection that `open` gave.
   *
   * @param {Connection} connection
   */
  release(connection) {
    this.#connections.delete(connection);
    connection.close();
  }

  /**
   * Send a command and wait for its reply. Throws the error of an outcome that is not ok.
   *
   * @param {Raw} fields
   * @param {Sending} sending
   * @returns {Promise<AnyReply>}
   */
  async command(fields, { id, timeout_s }) {
    this.check_open();
    const limit_s = checked_timeout(timeout_s);
    const entry = sent_fields({ ...fields, id: id ?? new_id(), reply_to: this.reply_to });
    const deadline_ms = now_ms() + limit_s * 1_000;
    if (!(await this.#slots.enter(limit_s * 1_000))) {
      throw new BusyError("too many commands are waiting for replies; nothing was sent");
    }
    let reply;
    try {
      this.check_open();
      const { keys, added } = await this.#placed(entry, deadline_ms);
      reply = await this.#ask(keys, { ...entry, ...added }, deadline_ms, limit_s);
    } finally {
      this.#slots.leave();
    }
    if (!reply.is_ok) throw refusal(reply);
    return reply;
  }

  /**
   * Send a command and wait for no reply: none is asked for.
   *
   * @param {Raw} fields
   * @param {Sending} sending
   */
  async enqueue(fields, { id, timeout_s }) {
    this.check_open();
    const limit_s = checked_timeout(timeout_s);
    const command_id = id ?? new_id();
    const entry = sent_fields({ ...fields, id: command_id });
    const deadline_ms = now_ms() + limit_s * 1_000;
    const { keys, added } = await this.#placed(entry, deadline_ms);
    return new Sent(command_id, await this.#append(keys, { ...entry, ...added }, deadline_ms));
  }

  /**
   * The chat's snapshot: Redis, then whatever reads old records, else `not_started`.
   *
   * @param {string} chat_id
   */
  async chat(chat_id) {
    this.check_open();
    if (is_identifier("chat_id", chat_id)) {
      const json = await this.#query((call) => this.routing.snapshot(chat_id, call));
      const found = json === null ? await this.#record(chat_id) : new ChatSnapshot(parse_json(json));
      if (found !== null) return found;
    }
    return not_started(chat_id);
  }

  /**
   * The account's snapshot.
   *
   * @param {string} user_id
   */
  async wallet(user_id) {
    this.check_open();
    if (!is_identifier("user_id", user_id)) return no_wallet(user_id);
    const json = await this.#query(async (call) => {
      const keys = await this.routing.of_user(user_id, call);
      return call(keys.partition, "GET", keys.wallet(user_id));
    });
    return typeof json === "string" ? new WalletSnapshot(parse_json(json)) : no_wallet(user_id);
  }

  /**
   * Try until it works, until it can't, or until the deadline: of nothing but what may be repeated.
   *
   * @template T
   * @param {number} deadline_ms of `now_ms`
   * @param {() => Promise<T>} attempt
   * @returns {Promise<T>}
   */
  async persist(deadline_ms, attempt) {
    const pauses = pauses_ms();
    for (;;) {
      try {
        return await within(attempt(), deadline_ms - now_ms(), "no answer in time");
      } catch (error) {
        const pause_ms = pauses.next().value;
        const is_late = now_ms() + pause_ms >= deadline_ms;
        if (is_late || this.is_closed || !is_passing(error)) throw error;
        await sleep(pause_ms, this.#closing.signal);
      }
    }
  }

  /**
   * Ask what may be asked twice, for as long as a query may take.
   *
   * @param {Connection} connection
   * @param {...(string | number)} command
   */
  async query(connection, ...command) {
    return unless_unavailable(() =>
      this.persist(now_ms() + TIMEOUT_S * 1_000, () => connection.send(...command)),
    );
  }

  check_open() {
    if (this.is_closed) throw new ClosedError("this client was closed; make a new one");
  }

  /** @type {Call} */
  #call = (partition, ...command) => this.#at(this.#commands, partition).send(...command);

  /**
   * The connection to the server that has a partition.
   *
   * @param {Map<string, Connection>} connections
   * @param {number} partition
   */
  #at(connections, partition) {
    const url = this.routing.servers.url_of(partition);
    const found = connections.get(url) ?? this.open(url);
    connections.set(url, found);
    return found;
  }

  /**
   * Where a command goes; with several partitions, also whose it is.
   *
   * @param {Readonly<Record<string, string>>} fields
   * @param {number} deadline_ms
   */
  async #placed(fields, deadline_ms) {
    const owner = async (/** @type {string} */ chat_id) => (await this.#record(chat_id))?.user_id ?? "";
    let place;
    try {
      place = await this.persist(deadline_ms, () => this.routing.of_command(fields, this.#call, owner));
    } catch (error) {
      throw error instanceof UnavailableError ? error : not_confirmed(String(fields["id"]), error);
    }
    if (place !== null) return place;
    throw new UnknownChatError(
      "unknown_chat",
      `unknown_chat: no partition knows chat ${fields["chat_id"]}; nothing was sent. If it has ended ` +
        "more than a day ago, say whose it is: user_id",
      String(fields["id"]),
    );
  }

  /**
   * @param {Keys} keys
   * @param {Readonly<Record<string, string>>} fields
   * @param {number} deadline_ms
   * @param {number} limit_s
   */
  async #ask(keys, fields, deadline_ms, limit_s) {
    const id = String(fields["id"]);
    const waiting = this.pending.add(slot_of(keys, id));
    try {
      this.#wake_reader(this.routing.servers.url_of(keys.partition));
      const entry = await this.#append(keys, fields, deadline_ms);
      waiting.expect(entry);
      try {
        return await within(waiting.reply, deadline_ms - now_ms(), "no reply in time");
      } catch (error) {
        const cause = error instanceof TimeLimitError ? this.#reader_error : error;
        throw new NoReplyError(id, entry, limit_s, { cause });
      }
    } finally {
      this.pending.remove(waiting);
    }
  }

  /**
   * XADD, again with the same id and content where the answer got lost.
   *
   * @param {Keys} keys
   * @param {Readonly<Record<string, string>>} fields
   * @param {number} deadline_ms
   */
  async #append(keys, fields, deadline_ms) {
    const parts = Object.entries(fields).flat();
    try {
      return String(
        await this.persist(deadline_ms, () =>
          this.#call(keys.partition, "XADD", keys.commands, "*", ...parts),
        ),
      );
    } catch (error) {
      throw not_confirmed(String(fields["id"]), error);
    }
  }

  /**
   * Ask what may be asked twice, for as long as a query may take.
   *
   * @template T
   * @param {(call: Call) => Promise<T>} ask
   */
  async #query(ask) {
    return unless_unavailable(() => this.persist(now_ms() + TIMEOUT_S * 1_000, () => ask(this.#call)));
  }

  /** @param {string} chat_id */
  async #record(chat_id) {
    const read_record = this.#read_record;
    if (read_record === undefined) return null;
    try {
      const asking = Promise.resolve(read_record(chat_id));
      const record = await within(asking, TIMEOUT_S * 1_000, `no answer within ${TIMEOUT_S} s`);
      return record === null ? null : new ChatSnapshot({ ...record });
    } catch (error) {
      throw new UnavailableError(`the record can't be read: ${message_of(error)}`, { cause: error });
    }
  }

  /**
   * The one reader of a server's replies runs while anybody waits.
   *
   * @param {string} url
   */
  #wake_reader(url) {
    if (this.#reading.has(url)) return;
    this.#reading.add(url);
    void this.#read_replies(url);
  }

  /** @param {string} url */
  async #read_replies(url) {
    let pauses = pauses_ms();
    while (!this.pending.is_empty && !this.is_closed) {
      try {
        await this.#read_replies_once(url);
        this.#reader_error = undefined;
        pauses = pauses_ms();
      } catch (error) {
        this.#reader_error = error; // the reader goes on, whatever it was; NoReplyError names it
        await sleep(pauses.next().value, this.#closing.signal);
      }
    }
    this.#reading.delete(url);
  }

  /** @param {string} url */
  async #read_replies_once(url) {
    /** @type {Call} */
    const call = (partition, ...command) => this.#at(this.#replies, partition).send(...command);
    const numbers = this.routing.servers.groups(await this.routing.count(call)).get(url) ?? [0];
    const all = numbers.map((number) => new Keys(number));
    const places = new Map(all.map((keys) => [keys.reply(this.reply_to), keys]));
    const from = [...places.keys()].map((stream) => this.#read_up_to.get(stream) ?? "0-0");
    const limits = ["COUNT", REPLIES_READ_MAX, "BLOCK", BLOCK_MS];
    const found = /** @type {readonly (readonly [string, Entries])[] | null} */ (
      await this.#at(this.#replies, Number(numbers[0])).send("XREAD", ...limits, "STREAMS", ...places.keys(), ...from)
    );
    for (const [stream, entries] of found ?? []) {
      for (const [entry, parts] of entries) {
        this.#read_up_to.set(stream, entry);
        this.#deliver(places.get(stream) ?? new Keys(), fields_of(parts));
      }
    }
  }

  /**
   * @param {Keys} keys
   * @param {Raw} fields
   */
  #deliver(keys, fields) {
    try {
      const reply = read_reply(fields);
      this.pending.deliver(slot_of(keys, reply.id), reply);
    } catch (error) {
      this.#reader_error = error; // an unreadable reply harms nobody else's
    }
  }
}

/**
 * The fields of a stream entry.
 *
 * @param {readonly string[]} parts names and values in turn
 * @returns {Record<string, string>}
 */
export function fields_of(parts) {
  /** @type {Record<string, string>} */
  const fields = {};
  for (let index = 0; index + 1 < parts.length; index += 2) {
    fields[String(parts[index])] = String(parts[index + 1]);
  }
  return fields;
}

/**
 * What a query gives; UnavailableError if Redis does not answer it.
 *
 * @template T
 * @param {() => Promise<T>} ask
 */
export async function unless_unavailable(ask) {
  try {
    return await ask();
  } catch (error) {
    throw new UnavailableError(`Redis does not answer: ${message_of(error)}`, { cause: error });
  }
}

/**
 * Where a reply is waited for: an id counts within its partition.
 *
 * @param {Keys} keys
 * @param {string} id
 */
function slot_of(keys, id) {
  return `${keys.partition}:${id}`;
}

/**
 * @param {string} id
 * @param {unknown} error
 */
function not_confirmed(id, error) {
  return new NotConfirmedError(
    `Redis did not confirm command ${id} (${message_of(error)}); it may be in the queue: ` +
      "send it again with the same id",
    id,
    { cause: error },
  );
}

/** @param {unknown} error */
function message_of(error) {
  return error instanceof Error ? error.message || error.name : String(error);
}

function new_id() {
  return randomUUID().replaceAll("-", "");
}

/** @param {number | undefined} timeout_s */
function checked_timeout(timeout_s = TIMEOUT_S) {
  if (typeof timeout_s !== "number" || Number.isNaN(timeout_s)) {
    throw new TypeError("timeout_s: send seconds as a number");
  }
  return timeout_s;
}

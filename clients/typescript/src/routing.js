/** Where a command, a chat and an account are: with several partitions, in that of the user. */

import { Keys } from "./keys.js";
import { now_ms } from "./limits.js";

/** @import { Raw } from "./results.js" */
/** @import { RedisServers } from "./servers.js" */

/**
 * Does one Redis command, where a partition is.
 *
 * @typedef {(partition: number, ...command: string[]) => Promise<unknown>} Call
 */

/** Chats whose user is remembered: whose a chat is never changes. */
const OWNERS_MAX = 10_000;
/** For so long there is one partition if Redis has no layout: the first daemon may come yet. */
const ABSENT_MS = 5_000;

const CRC_32 = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/**
 * The number of a user's partition, of so many: CRC-32 (zlib's) of the UTF-8 bytes, modulo.
 *
 * @param {string} user_id
 * @param {number} partitions a power of two
 */
export function partition_of(user_id, partitions) {
  let crc = 0xffffffff;
  for (const byte of new TextEncoder().encode(user_id)) {
    crc = (crc >>> 8) ^ Number(CRC_32[(crc ^ byte) & 0xff]);
  }
  return ((crc ^ 0xffffffff) >>> 0) % partitions;
}

/** What one client knows of the partitions; nothing is asked before the first call. */
export class Routing {
  #partitions = 0;
  /** @type {Set<number>} partitions whose server has them, of several */
  #found = new Set();
  #absent_until_ms = 0;
  /** @type {Map<string, string>} */
  #owners = new Map();
  /**
   * Who was to be the user of a chat by a command sent here; the daemon may have refused it.
   *
   * @type {Map<string, string>}
   */
  #starters = new Map();

  /** @param {RedisServers} servers */
  constructor(servers) {
    this.servers = servers;
  }

  /**
   * How many partitions there are.
   *
   * @param {Call} call
   */
  count(call) {
    return this.#count(call);
  }

  /**
   * The keys of each partition. How many there are is fixed when the data is made: what Redis has is
   * asked for once.
   *
   * @param {Call} call
   */
  async all_keys(call) {
    return Array.from({ length: await this.#count(call) }, (_, number) => new Keys(number));
  }

  /**
   * The keys of the user's partition.
   *
   * @param {string} user_id
   * @param {Call} call
   */
  async of_user(user_id, call) {
    return this.#placed(partition_of(user_id, await this.#count(call)), call);
  }

  /**
   * Where a command belongs, and whose it is where that has to be added; null if nobody knows whose the
   * chat is.
   *
   * @param {Raw} fields the command's
   * @param {Call} call
   * @param {(chat_id: string) => Promise<string>} owner the user of a chat that Redis does not have, or ""
   * @returns {Promise<{ keys: Keys, added: Record<string, string> } | null>}
   */
  async of_command(fields, call, owner) {
    const partitions = await this.#count(call);
    if (partitions === 1) return { keys: new Keys(), added: {} };
    const { user_id: named, chat_id } = fields;
    const user = typeof named === "string" ? named : await this.#owner(String(chat_id), call, owner);
    if (user === "") return null;
    if (typeof named === "string" && typeof chat_id === "string") remember(this.#starters, chat_id, named);
    const added = typeof named === "string" ? {} : { user_id: user };
    return { keys: await this.#placed(partition_of(user, partitions), call), added };
  }

  /**
   * A chat's snapshot, in whichever partition it is; null if it is in none.
   *
   * @param {string} chat_id
   * @param {Call} call
   */
  async snapshot(chat_id, call) {
    const groups = [...this.servers.groups(await this.#count(call)).values()];
    const answers = await Promise.allSettled(groups.map((numbers) => snapshots(call, chat_id, numbers)));
    for (const one of answers) {
      const json = one.status === "fulfilled" ? one.value.find((value) => value !== null) : null;
      if (typeof json === "string") return json;
    }
    const failed = answers.find((one) => one.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    return null;
  }

  /** @param {Call} call */
  async #count(call) {
    if (this.#partitions > 0) return this.#partitions;
    if (now_ms() < this.#absent_until_ms) return 1;
    const raw = await this.#layout(call);
    if (typeof raw === "string") this.#partitions = Number(JSON.parse(raw).partitions);
    else this.#absent_until_ms = now_ms() + ABSENT_MS;
    return this.#partitions || 1;
  }

  /**
   * What the first server says that knows it; each has a partition of that number.
   *
   * @param {Call} call
   */
  async #layout(call) {
    let failure;
    for (let number = 0; number < this.servers.urls.length; number += 1) {
      try {
        const raw = await call(number, "GET", new Keys(number).layout);
        if (raw !== null) return raw;
      } catch (error) {
        // The rights of a client of one partition; the daemon names a wrong one.
        if (error instanceof Error && error.message.startsWith("NOPERM")) return null;
        failure = error;
      }
    }
    if (failure !== undefined) throw failure;
    if (this.servers.urls.length > 1) throw misplaced(0);
    return null;
  }

  /**
   * The keys of a partition, once its server has said that it has it: else a command would wait where no
   * daemon reads, as with one URL out of several.
   *
   * @param {number} partition
   * @param {Call} call
   */
  async #placed(partition, call) {
    const keys = new Keys(partition);
    if (this.#partitions > 1 && !this.#found.has(partition)) {
      const raw = await call(partition, "GET", keys.layout).catch(unless_no_right);
      if (raw === null) throw misplaced(partition);
      this.#found.add(partition);
    }
    return keys;
  }

  /**
   * @param {string} chat_id
   * @param {Call} call
   * @param {(chat_id: string) => Promise<string>} owner
   */
  async #owner(chat_id, call, owner) {
    const remembered = this.#owners.get(chat_id);
    if (remembered !== undefined) return remembered;
    const json = await this.snapshot(chat_id, call);
    const user = json === null ? await owner(chat_id) : String(JSON.parse(json).user_id);
    if (user !== "") remember(this.#owners, chat_id, user);
    // A start that was sent a moment ago: nobody else knows the chat yet.
    return user || (this.#starters.get(chat_id) ?? "");
  }
}

/**
 * Nothing in the place of an error that says that this user may not ask.
 *
 * @param {unknown} error
 */
function unless_no_right(error) {
  if (error instanceof Error && error.message.startsWith("NOPERM")) return undefined;
  throw error;
}

/** @param {number} partition */
function misplaced(partition) {
  return new Error(
    `the Redis of partition ${partition} does not have it: give all URLs of the daemon, in its order, and ` +
      "start a daemon first",
  );
}

/**
 * What partitions on one server have of a chat.
 *
 * @param {Call} call
 * @param {string} chat_id
 * @param {readonly number[]} numbers
 * @returns {Promise<readonly unknown[]>}
 */
async function snapshots(call, chat_id, numbers) {
  const names = numbers.map((number) => new Keys(number).chat(chat_id));
  const first = Number(numbers[0]);
  if (names.length === 1) return [await call(first, "GET", ...names)];
  return /** @type {unknown[]} */ (await call(first, "MGET", ...names));
}

/**
 * @param {Map<string, string>} users
 * @param {string} chat_id
 * @param {string} user_id
 */
function remember(users, chat_id, user_id) {
  if (users.size >= OWNERS_MAX) users.clear();
  users.set(chat_id, user_id);
}

/**
 * One connection to Redis that repeats nothing by itself, and never waits for ever.
 *
 * The library's own reconnecting and its queue for commands without a connection are switched off:
 * whoever sends a command decides whether it may be sent again. After an error the connection is
 * thrown away; the next command makes a new one.
 */

import { ErrorReply, createClient } from "redis";

import { is_cluster_url, master_of, parse_cluster_url, slot_of_partition } from "./cluster.js";
import { within } from "./limits.js";
import { is_sentinel_url, parse_sentinel_url } from "./sentinel.js";

/** How long one read waits in Redis; below ANSWER_MS_MAX, which ends a dead connection. */
export const BLOCK_MS = 1_000;

const ANSWER_MS_MAX = 3_000;
const CONNECT_MS_MAX = 2_000;
/** How long a Sentinel or a node of a cluster may take to say where the master is. */
const GUIDE_MS_MAX = 1_000;

/** Errors of the server that may soon be over: it restarts, fails over, or is full of clients. */
const PASSING = /^(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|MOVED|ASK|ERR max number of clients)/;

/** Somebody here has closed the connection: to try again is of no use. */
class ReleasedError extends Error {}

/** @typedef {ReturnType<typeof client_at>} Client */
/** @typedef {string | number} Arg */

/** A client that is being made, or was. */
class Current {
  /** @type {Client | null} */
  client = null;

  /** @param {(made: Current) => Promise<Client>} make */
  constructor(make) {
    this.ready = make(this);
  }
}

/** A connection, made when it is first needed, and again after it was lost. */
export class Connection {
  #url;
  #is_closed = false;
  #made = 0;
  /** @type {Current | null} */
  #current = null;

  /** @param {string} url */
  constructor(url) {
    this.#url = url;
  }

  /**
   * Do one Redis command, once.
   *
   * @param {...Arg} command
   * @returns {Promise<unknown>}
   */
  async send(...command) {
    const client = await this.#ready();
    return this.#answer(client, client.sendCommand(command.map(String)));
  }

  /**
   * Do several in one transaction; an error of one is a result in its place.
   *
   * @param {...Arg[]} commands
   * @returns {Promise<unknown[]>}
   */
  async send_together(...commands) {
    const client = await this.#ready();
    const whole = [["MULTI"], ...commands.map((command) => command.map(String)), ["EXEC"]];
    const answers = Promise.all(whole.map((command) => client.sendCommand(command)));
    const results = (await this.#answer(client, answers)).at(-1);
    if (!Array.isArray(results)) throw new TypeError("Redis has not done a transaction");
    return results;
  }

  /** Let go at once; what waits for an answer is told. */
  close() {
    this.#is_closed = true;
    if (this.#current?.client) this.#drop(this.#current.client);
  }

  /** @returns {Promise<Client>} */
  async #ready() {
    if (this.#is_closed) throw new ReleasedError("the connection was closed");
    if (this.#current === null) {
      this.#current = new Current((made) => this.#make(made));
      const made = this.#current;
      made.ready.catch(() => {
        if (this.#current === made) this.#current = null;
      });
    }
    return this.#current.ready;
  }

  /**
   * A client of the server that the URL names, or of the master that its Sentinels or nodes name.
   *
   * @param {Current} made
   */
  async #make(made) {
    const url = await this.#master_url();
    if (this.#is_closed) throw new ReleasedError("the connection was closed");
    const client = (made.client = client_at(url));
    client.on("error", () => this.#drop(client));
    await this.#connect(client);
    return client;
  }

  /** @returns {Promise<string>} */
  async #master_url() {
    if (is_sentinel_url(this.#url)) return master_by_sentinels(this.#url);
    // One node may know less than the others for a while: the next time another one is asked first.
    return is_cluster_url(this.#url) ? master_in_cluster(this.#url, this.#made++) : this.#url;
  }

  /** @param {Client} client */
  async #connect(client) {
    const connecting = client.connect();
    try {
      await within(connecting, CONNECT_MS_MAX, `no connection within ${CONNECT_MS_MAX} ms`);
    } catch (error) {
      this.#drop(client);
      // What was on its way when it was dropped may yet come: it is to go, too.
      connecting.then(() => client.destroy(), () => {});
      throw error;
    }
  }

  /**
   * @template T
   * @param {Client} client
   * @param {Promise<T>} answer
   */
  async #answer(client, answer) {
    try {
      return await within(answer, ANSWER_MS_MAX, `no answer within ${ANSWER_MS_MAX} ms`);
    } catch (error) {
      // A server that says READONLY for ever stays connected: the next one may be the new master.
      if (!(error instanceof ErrorReply) || is_passing(error)) this.#drop(client);
      throw error;
    }
  }

  /** @param {Client} client */
  #drop(client) {
    if (this.#current?.client === client) this.#current = null;
    client.destroy();
  }
}

/**
 * Whether an error may soon be over: a lost connection, a server that restarts or fails over.
 *
 * @param {unknown} error
 */
export function is_passing(error) {
  if (error instanceof ReleasedError) return false;
  return !(error instanceof ErrorReply) || PASSING.test(error.message);
}

/**
 * A message for a URL that can't be one of Redis; null if it can. Does not repeat it: it may
 * hold a password.
 *
 * @param {unknown} url
 */
export function fault_of_url(url) {
  const is_socket = typeof url === "string" && /^unix:\/\/[^?]*\/./.test(url); // may have a user but no host
  const is_url = typeof url === "string" && /^rediss?:\/\//.test(url) && URL.canParse(url);
  const is_sentinels = typeof url === "string" && is_sentinel_url(url) && parse_sentinel_url(url) !== null;
  const is_cluster = typeof url === "string" && is_cluster_url(url) && parse_cluster_url(url) !== null;
  if (is_socket || is_url || is_sentinels || is_cluster) return null;
  return (
    "redis_url: send a URL such as redis://127.0.0.1:6379/0, redis+sentinel://host:26379/mymaster/0 or " +
    "redis+cluster://host:6379"
  );
}

/**
 * Ask one Sentinel after the other where the master is.
 *
 * @param {string} url
 */
async function master_by_sentinels(url) {
  const parts = parse_sentinel_url(url);
  if (parts === null) throw new TypeError("redis_url: not a URL of Sentinels");
  for (const sentinel of parts.sentinels) {
    const found = await ask(sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", parts.service);
    if (Array.isArray(found)) return parts.master(String(found[0]), Number(found[1]));
  }
  throw new Error(`no Sentinel knows the master ${parts.service}`);
}

/**
 * Ask one node after the other who has the slot of the URL's partition.
 *
 * @param {string} url
 * @param {number} first which node is asked first
 */
async function master_in_cluster(url, first) {
  const parts = parse_cluster_url(url);
  if (parts === null) throw new TypeError("redis_url: not a URL of a cluster");
  const slot = slot_of_partition(parts.partition);
  for (let number = 0; number < parts.nodes.length; number += 1) {
    const node = parts.nodes[(first + number) % parts.nodes.length];
    if (node === undefined) continue;
    const found = master_of(await ask(node.url, "CLUSTER", "SLOTS"), slot);
    if (found !== null) return parts.node_at(found.host || node.host, found.port);
  }
  throw new Error(`no node of the cluster says who has slot ${slot}`);
}

/**
 * What a server says that knows where others are; null if it does not answer.
 *
 * @param {string} url
 * @param {...string} question
 * @returns {Promise<unknown>}
 */
async function ask(url, ...question) {
  const client = client_at(url);
  client.on("error", () => {}); // the next one is asked
  try {
    await within(client.connect(), GUIDE_MS_MAX, "no answer");
    return await within(client.sendCommand(question), GUIDE_MS_MAX, "no answer");
  } catch {
    return null;
  } finally {
    client.destroy();
  }
}

/** @param {string} url */
function client_at(url) {
  return createClient({
    url,
    RESP: 2, // RESP3 gives streams another shape
    disableOfflineQueue: true,
    maintNotifications: "disabled",
    socket: { reconnectStrategy: false, connectTimeout: CONNECT_MS_MAX },
  });
}

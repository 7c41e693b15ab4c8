/**
 * Commands that wait for their replies, however many at once over one reply stream.
 *
 * A reply belongs to a command if both the id and the entry are the same: the id alone is not
 * enough, since a late reply to an earlier attempt of the same id may still come. As the reply
 * can overtake the answer to XADD, replies of an id whose entry is not known yet are kept.
 */

/** @import { AnyReply } from "./errors.js" */

/** Replies kept for a command before its entry is known; one for each of its attempts. */
const EARLY_MAX = 16;

/** One command that waits. */
export class Waiting {
  /** @type {Map<string, AnyReply>} */
  #early = new Map();
  #entry = "";
  /** @type {(reply: AnyReply) => void} */
  #resolve = () => {};
  /** @type {(error: unknown) => void} */
  #reject = () => {};

  /** @param {string} id */
  constructor(id) {
    this.id = id;
    /** @type {Promise<AnyReply>} */
    this.reply = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.reply.catch(() => {}); // it may fail before anybody waits for it
  }

  /**
   * The command is in the queue as `entry`: its reply may already be here.
   *
   * @param {string} entry
   */
  expect(entry) {
    this.#entry = entry;
    const reply = this.#early.get(entry);
    this.#early.clear();
    if (reply !== undefined) this.#resolve(reply);
  }

  /**
   * Take the reply if it is the one; keep it if that can't be told yet.
   *
   * @param {AnyReply} reply
   */
  offer(reply) {
    if (this.#entry === reply.entry) this.#resolve(reply);
    else if (this.#entry === "" && this.#early.size < EARLY_MAX) this.#early.set(reply.entry, reply);
  }

  /**
   * Wake whoever waits, in vain.
   *
   * @param {unknown} error
   */
  fail(error) {
    this.#reject(error);
  }
}

/** The commands that wait, by id. */
export class Pending {
  /** @type {Map<string, Set<Waiting>>} */
  #by_id = new Map();

  get is_empty() {
    return this.#by_id.size === 0;
  }

  /**
   * Begin to wait; before sending, since the reply may be faster than XADD's answer.
   *
   * @param {string} id
   */
  add(id) {
    const waiting = new Waiting(id);
    const group = this.#by_id.get(id) ?? new Set();
    this.#by_id.set(id, group.add(waiting));
    return waiting;
  }

  /**
   * A reply has come; if nobody waits for it, it is dropped.
   *
   * @param {string} id under which it is waited for
   * @param {AnyReply} reply
   */
  deliver(id, reply) {
    for (const waiting of this.#by_id.get(id) ?? []) waiting.offer(reply);
  }

  /**
   * Wait no longer.
   *
   * @param {Waiting} waiting
   */
  remove(waiting) {
    const group = this.#by_id.get(waiting.id);
    group?.delete(waiting);
    if (group?.size === 0) this.#by_id.delete(waiting.id);
  }

  /**
   * Wake everybody, in vain.
   *
   * @param {unknown} error
   */
  fail_all(error) {
    for (const group of this.#by_id.values()) {
      for (const waiting of group) waiting.fail(error);
    }
  }
}

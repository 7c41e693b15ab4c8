/** The names of everything in Redis that a client uses. */

/** The keys of one partition, which share its hash tag. */
export class Keys {
  /** @param {number} [partition] */
  constructor(partition = 0) {
    /** @readonly */
    this.partition = partition;
    /** @readonly */
    this.prefix = `meterd:{${partition}}:`;
  }

  /** Stream: backends → daemon. */
  get commands() {
    return `${this.prefix}commands`;
  }

  /** String, JSON: `partition` and `partitions`; absent where there is one partition. */
  get layout() {
    return `${this.prefix}layout`;
  }

  /** Stream: what happened, in order. */
  get events() {
    return `${this.prefix}events`;
  }

  /**
   * Stream: replies to whoever asked for them.
   *
   * @param {string} reply_to
   */
  reply(reply_to) {
    return `${this.prefix}reply:${reply_to}`;
  }

  /**
   * String, JSON: the chat's snapshot.
   *
   * @param {string} chat_id
   */
  chat(chat_id) {
    return `${this.prefix}chat:${chat_id}`;
  }

  /**
   * String, JSON: the account's snapshot.
   *
   * @param {string} user_id
   */
  wallet(user_id) {
    return `${this.prefix}wallet:${user_id}`;
  }
}

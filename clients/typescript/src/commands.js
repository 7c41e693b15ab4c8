/** A method for each command of the contract. */

import { SHAPES } from "./fields.js";

/** @import { Amount } from "./fields.js" */
/** @import { FreeScope, IncrementDue, Raw } from "./results.js" */

/**
 * How a command is sent; every command takes these.
 *
 * @typedef {object} Sending
 * @property {string | undefined} [id] the idempotency key; made by the client if you give none. Give the same
 *   to try again
 * @property {number | undefined} [timeout_s] how long the call may take in seconds, 10 by default
 */

/**
 * What a command about a chat takes besides.
 *
 * @typedef {object} ChatOnly
 * @property {string | undefined} [user_id] the chat's user, to be sure: the chat of another user is refused
 */

/**
 * Why, for the record.
 *
 * @typedef {object} ReasonOnly
 * @property {string | undefined} [reason] stays in the record or the journal
 */

/**
 * What a chat costs; what is not given is as configured.
 *
 * @typedef {object} TariffOptions
 * @property {Amount | undefined} [rate] credits a minute
 * @property {number | undefined} [free_ms] active time that costs nothing
 * @property {FreeScope | undefined} [free_scope] whether `free_ms` is this chat's (`chat`), or one allowance for
 *   all of the user's chats with this `advisor`, or for all of the `user`
 * @property {number | undefined} [min_ms] the least that is billed of what comes after the free time
 * @property {number | undefined} [increment_ms] time is billed in whole increments of this length; 1 is exact
 * @property {IncrementDue | undefined} [increment_due] an increment is owed as soon as it begins (`begin`), or
 *   once it is complete (`end`)
 * @property {number | undefined} [idle_ms] the chat pauses after this time without a sign of life; 0: never
 * @property {number | undefined} [abandon_ms] the chat ends after this time without a sign of life; 0: never
 * @property {number | undefined} [max_ms] the chat ends when it has been active for so long; 0: never
 */

/**
 * What a chat brings from the system in which it ran until now.
 *
 * @typedef {object} CarriedOptions
 * @property {number} started_at when the chat began there, in milliseconds since 1970
 * @property {number} carried_ms the time for which it was active there
 * @property {Amount} carried_cost the credits that were paid there
 * @property {number | undefined} [carried_free_ms] how much of `carried_ms` was free; if not given, the lesser
 *   of `carried_ms` and `free_ms`
 */

/**
 * Whether an account gives what is there.
 *
 * @typedef {object} PartialOnly
 * @property {boolean | undefined} [partial] take what is there, if that is less than the amount
 */

/** @typedef {Sending & ChatOnly} ChatOptions */
/** @typedef {Sending & ChatOnly & ReasonOnly} ReasonOptions */
/** @typedef {Sending & TariffOptions} StartOptions */
/** @typedef {Sending & TariffOptions & CarriedOptions} AdoptOptions */
/** @typedef {Sending & ReasonOnly & PartialOnly} AdjustOptions */

/**
 * A method for each command.
 *
 * Credits are strings or bigints; names that end in `_ms` are integer milliseconds. A promise is
 * rejected with
 *
 * - `TypeError`: a value of a wrong type, such as a number for credits. Nothing was sent.
 * - `InvalidCommandError`: a value that the daemon would refuse. Nothing was sent.
 * - `CommandRefusedError`: the command had no effect. Its subclass tells why; each method names
 *   its own. Any may give `IdConflictError` and `InternalError`. Not given by `enqueue`, which
 *   waits for no reply.
 * - `UncertainError`: it is not known whether the command takes effect. Send it again with
 *   `id: error.id`.
 * - `BusyError`: too many commands were waiting for replies. Nothing was sent.
 * - `ClosedError`: the client was closed. Nothing was sent.
 *
 * @template ChatResult
 * @template WalletResult
 */
export class Commands {
  #send;

  /**
   * @param {(fields: Raw, sending: Sending) => Promise<any>} send
   * @internal
   */
  constructor(send) {
    this.#send = send;
  }

  /**
   * Open a chat, running. What is not given of its tariff is as configured.
   *
   * `AlreadyStartedError`, `AlreadyEndedError`, `UserMismatchError`: the chat exists.
   * `InsufficientCreditsError`: the account can't pay for the first millisecond.
   * `AtCapacityError`: the operator's limit on open chats is reached, in all or of this account.
   *
   * @param {string} chat_id the new chat; an id is used once
   * @param {string} user_id who pays
   * @param {string} advisor_id who is paid
   * @param {StartOptions} [options]
   * @returns {Promise<ChatResult>}
   */
  start(chat_id, user_id, advisor_id, options = {}) {
    return this.#call("start", { chat_id, user_id, advisor_id }, options);
  }

  /**
   * Open a chat that ran in another system until now.
   *
   * Errors as of `start`.
   *
   * @param {string} chat_id
   * @param {string} user_id who pays
   * @param {string} advisor_id who is paid
   * @param {AdoptOptions} options
   * @returns {Promise<ChatResult>}
   */
  adopt(chat_id, user_id, advisor_id, options) {
    return this.#call("adopt", { chat_id, user_id, advisor_id }, options);
  }

  /**
   * Stop the timer of a running chat.
   *
   * `UnknownChatError`, `AlreadyEndedError`, `UserMismatchError`: there is no such open chat.
   * `NotRunningError`: it is paused or suspended.
   *
   * @param {string} chat_id
   * @param {ChatOptions} [options]
   * @returns {Promise<ChatResult>}
   */
  pause(chat_id, options = {}) {
    return this.#call("pause", { chat_id }, options);
  }

  /**
   * Run the timer of a paused or suspended chat again.
   *
   * `UnknownChatError`, `AlreadyEndedError`, `UserMismatchError`: there is no such open chat.
   * `NotPausedError`: it runs.
   * `InsufficientCreditsError`: the account can't pay for the next millisecond.
   *
   * @param {string} chat_id
   * @param {ChatOptions} [options]
   * @returns {Promise<ChatResult>}
   */
  resume(chat_id, options = {}) {
    return this.#call("resume", { chat_id }, options);
  }

  /**
   * Tell that the user is still there; resumes a chat that was paused as idle.
   *
   * `UnknownChatError`, `AlreadyEndedError`, `UserMismatchError`: there is no such open chat.
   * `InsufficientCreditsError`: it was idle, and the account can't pay for it.
   *
   * @param {string} chat_id
   * @param {ChatOptions} [options]
   * @returns {Promise<ChatResult>}
   */
  heartbeat(chat_id, options = {}) {
    return this.#call("heartbeat", { chat_id }, options);
  }

  /**
   * Bill `rate` credits a minute from now on.
   *
   * `UnknownChatError`, `AlreadyEndedError`, `UserMismatchError`: there is no such open chat.
   * `InsufficientCreditsError`: the account can't pay the new rate; the old one stays.
   *
   * @param {string} chat_id
   * @param {Amount} rate
   * @param {ChatOptions} [options]
   * @returns {Promise<ChatResult>}
   */
  set_rate(chat_id, rate, options = {}) {
    return this.#call("set_rate", { chat_id, rate }, options);
  }

  /**
   * Close the chat's record, for ever. The `reason` is `ended` if you give none.
   *
   * `UnknownChatError`, `AlreadyEndedError`, `UserMismatchError`: there is no such open chat.
   *
   * @param {string} chat_id
   * @param {ReasonOptions} [options]
   * @returns {Promise<ChatResult>}
   */
  end(chat_id, options = {}) {
    return this.#call("end", { chat_id }, options);
  }

  /**
   * Add `amount` credits to an account; resumes its suspended chats.
   *
   * Use an `id` made of the payment's: then a repeated call adds nothing, for 30 days.
   *
   * @param {string} user_id
   * @param {Amount} amount
   * @param {Sending} [options]
   * @returns {Promise<WalletResult>}
   */
  top_up(user_id, amount, options = {}) {
    return this.#call("top_up", { user_id, amount }, options);
  }

  /**
   * Give credits of an ended chat back; all refunds of a chat together are at most its cost.
   *
   * `UnknownChatError`, `UserMismatchError`: there is no such chat.
   * `NotEndedError`: it is still open.
   * `ExceedsCostError`: more than was paid.
   *
   * @param {string} chat_id an ended chat
   * @param {Amount} amount
   * @param {ReasonOptions} [options]
   * @returns {Promise<ChatResult>}
   */
  refund(chat_id, amount, options = {}) {
    return this.#call("refund", { chat_id, amount }, options);
  }

  /**
   * Correct an account by hand: a chargeback, a typo, goodwill.
   *
   * `InsufficientCreditsError`: less is there than is to be taken, and not `partial`.
   *
   * @param {string} user_id whose account
   * @param {Amount} amount more than 0 to give, less than 0 to take. Giving resumes suspended
   *   chats; chats that can't be paid any more stop
   * @param {AdjustOptions} [options] use an `id` of the correction's, as for `top_up`
   * @returns {Promise<WalletResult>}
   */
  adjust(user_id, amount, options = {}) {
    return this.#call("adjust", { user_id, amount }, options);
  }

  /**
   * Send a command of which `fields` has the `type`: for programs that pass commands on.
   *
   * Use the method of the command's name where the type is known.
   *
   * @param {Raw} fields
   * @param {Sending} [sending]
   * @returns {Promise<ChatResult | WalletResult>}
   */
  command(fields, sending = {}) {
    return this.#send(fields, sending);
  }

  /**
   * @param {string} type
   * @param {Raw} fields
   * @param {Sending & Raw} options
   */
  async #call(type, fields, { id, timeout_s, ...options }) {
    for (const name of Object.keys(options)) {
      // A mistyped option is not taken for a wish that was heard.
      if (name in fields || !is_option(type, name)) throw new TypeError(`${type} has no option ${name}`);
    }
    return this.#send({ type, ...fields, ...options }, { id, timeout_s });
  }
}

/**
 * @param {string} type
 * @param {string} name
 */
function is_option(type, name) {
  const shape = SHAPES[type];
  return name === "user_id" || shape?.needs.includes(name) || shape?.may_have.includes(name);
}

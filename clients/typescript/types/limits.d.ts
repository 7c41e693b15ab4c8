/** Waiting, always with a limit. */
/** Something did not happen in time. */
export declare class TimeLimitError extends Error {
}
/** The monotonic clock in milliseconds. */
export declare function now_ms(): number;
/**
 * What a promise gives, if that comes in time.
 *
 * The promise itself goes on; when it fails later nobody is told.
 *
 * @template T
 * @param {PromiseLike<T>} promise
 * @param {number} limit_ms
 * @param {string} message of the error
 * @returns {Promise<T>}
 * @throws {TimeLimitError} it does not come in time
 */
export declare function within<T>(promise: PromiseLike<T>, limit_ms: number, message: string): Promise<T>;
/**
 * Wait; cut short by a signal.
 *
 * @param {number} limit_ms
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
export declare function sleep(limit_ms: number, signal: AbortSignal): Promise<void>;
/**
 * Pauses between attempts: none at first (a connection left idle was cut), then growing.
 *
 * @returns {Generator<number, never>}
 */
export declare function pauses_ms(): Generator<number, never>;
/** So many at once, and no more; the others wait in line. */
export declare class Slots {
    #private;
    /** @param {number} number */
    constructor(number: number);
    /**
     * Take a slot; false if none got free in time.
     *
     * @param {number} limit_ms
     * @returns {Promise<boolean>}
     */
    enter(limit_ms: number): Promise<boolean>;
    /** Give a slot back: to the first in line, if there is one. */
    leave(): void;
}

/** Credits: decimal strings with at most 6 places outside, integer micro-credits inside. */
/** Milliseconds in a minute: rates are credits a minute. */
export declare const MS_PER_MINUTE = 60000n;
/** Credits as they are sent. */
export declare const CREDITS: RegExp;
/**
 * Credits as micro-credits, to calculate with: `parse_micro("1.5")` is `1_500_000n`.
 *
 * @param {string} text a decimal string with at most 6 places, of any size and sign
 * @returns {bigint}
 * @throws {TypeError} it is something else
 */
export declare function parse_micro(text: string): bigint;
/**
 * Micro-credits as a decimal string with exactly 6 places, such as `-0.016833`.
 *
 * @param {bigint} micro
 * @returns {string}
 */
export declare function format_micro(micro: bigint): string;
/**
 * A quotient rounded to the nearest whole number, from a half to the even one.
 *
 * @param {bigint} dividend at least 0
 * @param {bigint} divisor more than 0
 * @returns {bigint}
 */
export declare function divide_to_nearest(dividend: bigint, divisor: bigint): bigint;

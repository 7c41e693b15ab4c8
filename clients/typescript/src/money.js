/** Credits: decimal strings with at most 6 places outside, integer micro-credits inside. */

const MICRO = 1_000_000n;

/** Milliseconds in a minute: rates are credits a minute. */
export const MS_PER_MINUTE = 60_000n;

/** Credits as they are sent. */
export const CREDITS = /^([0-9]{1,9})(?:\.([0-9]{1,6}))?$/;

const WRITTEN = /^(-?)([0-9]+)(?:\.([0-9]{1,6}))?$/;

/**
 * Credits as micro-credits, to calculate with: `parse_micro("1.5")` is `1_500_000n`.
 *
 * @param {string} text a decimal string with at most 6 places, of any size and sign
 * @returns {bigint}
 * @throws {TypeError} it is something else
 */
export function parse_micro(text) {
  const match = WRITTEN.exec(text);
  if (match === null) throw new TypeError(`${JSON.stringify(text)} is not an amount of credits`);
  const [, sign, whole = "", fraction = ""] = match;
  const micro = BigInt(whole) * MICRO + BigInt(fraction.padEnd(6, "0"));
  return sign ? -micro : micro;
}

/**
 * Micro-credits as a decimal string with exactly 6 places, such as `-0.016833`.
 *
 * @param {bigint} micro
 * @returns {string}
 */
export function format_micro(micro) {
  const size = micro < 0n ? -micro : micro;
  const fraction = String(size % MICRO).padStart(6, "0");
  return `${micro < 0n ? "-" : ""}${size / MICRO}.${fraction}`;
}

/**
 * A quotient rounded to the nearest whole number, from a half to the even one.
 *
 * @param {bigint} dividend at least 0
 * @param {bigint} divisor more than 0
 * @returns {bigint}
 */
export function divide_to_nearest(dividend, divisor) {
  const quotient = dividend / divisor;
  const twice = 2n * (dividend % divisor);
  const is_up = twice > divisor || (twice === divisor && quotient % 2n === 1n);
  return is_up ? quotient + 1n : quotient;
}

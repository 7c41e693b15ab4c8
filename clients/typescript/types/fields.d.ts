/** From arguments to the fields of a stream entry, refused here with the daemon's own words. */
export type Amount = string | bigint;
export type Shape = {
    readonly needs: readonly string[];
    readonly may_have: readonly string[];
};
export type Check = (name: string, value: string) => string | null;
/**
 * Command types with the fields each needs and may have.
 *
 * @type {Readonly<Record<string, Shape>>}
 */
export declare const SHAPES: Readonly<Record<string, Shape>>;
/**
 * A command's fields as they are sent; those that are undefined or null are left out.
 *
 * @param {Readonly<Record<string, unknown>>} given
 * @returns {Record<string, string>}
 * @throws {TypeError} a value of a wrong type, such as a number for credits
 * @throws {InvalidCommandError} what the daemon would refuse as `invalid_command`
 */
export declare function sent_fields(given: Readonly<Record<string, unknown>>): Record<string, string>;
/**
 * Whether a chat or a user can be called so.
 *
 * @param {string} name for the error
 * @param {unknown} value
 * @throws {TypeError} it is no string
 */
export declare function is_identifier(name: string, value: unknown): boolean;

/**
 * URLs that name Sentinels, which know where the master is:
 *
 *     redis+sentinel://user:password@host-a:26379,host-b:26379/mymaster/0
 *     rediss+sentinel://…?sentinel_username=…&sentinel_password=…
 *
 * User and password are the master's. With `rediss` both are spoken to over TLS.
 */
/** @param {string} url */
export declare function is_sentinel_url(url: string): boolean;
/**
 * The URLs of the Sentinels, the master's name, and its URL once its address is known; null if it
 * can't be such a URL.
 *
 * @param {string} url
 */
export declare function parse_sentinel_url(url: string): {
    sentinels: string[];
    service: string;
    master: (host: string, port: number) => string;
} | null;

/** Which server has which partition: one has all, or several share them, or a cluster does. */
/** The servers that have the partitions, by their URLs. */
export declare class RedisServers {
    urls: readonly string[];
    /** @param {readonly string[]} urls in the order that counts: partition p is at the URL number p modulo their number */
    constructor(urls: readonly string[]);
    /**
     * Where a partition is; equal for partitions that share connections.
     *
     * @param {number} partition
     */
    url_of(partition: number): string;
    /**
     * The partitions, of so many, that share connections, by URL.
     *
     * @param {number} partitions
     * @returns {Map<string, number[]>}
     */
    groups(partitions: number): Map<string, number[]>;
}

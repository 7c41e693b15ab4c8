/**
 * URLs that name nodes of a Redis Cluster, any of which knows who has which slot:
 *
 *     redis+cluster://user:password@host-a:6379,host-b:6379
 *     rediss+cluster://…
 *
 * User and password are those of every node. A connection is always to the master that has one
 * partition's slot, which `?partition=3` names; `url_of_partition` writes it.
 */
/** @param {string} url */
export declare function is_cluster_url(url: string): boolean;
/**
 * The URLs of the nodes, the partition, and the URL of the node at an address; null if it can't be
 * such a URL.
 *
 * @param {string} url
 */
export declare function parse_cluster_url(url: string): {
    nodes: {
        host: string;
        url: string;
    }[];
    partition: number;
    node_at: (host: string, port: number) => string;
} | null;
/**
 * The URL of the master of a partition's slot, in the cluster that `url` names.
 *
 * @param {string} url
 * @param {number} partition
 */
export declare function url_of_partition(url: string, partition: number): string;
/**
 * The slot of all keys of a partition: that of their hash tag, its number.
 *
 * @param {number} partition
 */
export declare function slot_of_partition(partition: number): number;
/**
 * Host and port of the master of a slot, by an answer of CLUSTER SLOTS; null if nobody has it. A node
 * without a host is the one that was asked.
 *
 * @param {unknown} answer
 * @param {number} slot
 * @returns {{ host: string, port: number } | null}
 */
export declare function master_of(answer: unknown, slot: number): {
    host: string;
    port: number;
} | null;

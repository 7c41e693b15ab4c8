/** Which server has which partition: one has all, or several share them, or a cluster does. */

import { is_cluster_url, url_of_partition } from "./cluster.js";

/** The servers that have the partitions, by their URLs. */
export class RedisServers {
  /** @param {readonly string[]} urls in the order that counts: partition p is at the URL number p modulo their number */
  constructor(urls) {
    this.urls = urls;
  }

  /**
   * Where a partition is; equal for partitions that share connections.
   *
   * @param {number} partition
   */
  url_of(partition) {
    const url = String(this.urls[partition % this.urls.length]);
    return is_cluster_url(url) ? url_of_partition(url, partition) : url;
  }

  /**
   * The partitions, of so many, that share connections, by URL.
   *
   * @param {number} partitions
   * @returns {Map<string, number[]>}
   */
  groups(partitions) {
    /** @type {Map<string, number[]>} */
    const found = new Map();
    for (let number = 0; number < partitions; number += 1) {
      const url = this.url_of(number);
      found.set(url, [...(found.get(url) ?? []), number]);
    }
    return found;
  }
}

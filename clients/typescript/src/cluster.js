/**
 * URLs that name nodes of a Redis Cluster, any of which knows who has which slot:
 *
 *     redis+cluster://user:password@host-a:6379,host-b:6379
 *     rediss+cluster://…
 *
 * User and password are those of every node. A connection is always to the master that has one
 * partition's slot, which `?partition=3` names; `url_of_partition` writes it.
 */

const URL_FORM = /^redis(s?)\+cluster:\/\/(?:([^/]*)@)?([^/?@]+)\/?(?:0\/?)?(?:\?partition=(\d+))?$/;
const HOST_FORM = /^(\[[^\]]+\]|[^:]+)(?::(\d+))?$/;
const PORT = 6379;
const SLOTS = 16_384;

/** @param {string} url */
export function is_cluster_url(url) {
  return /^rediss?\+cluster:\/\//.test(url);
}

/**
 * The URLs of the nodes, the partition, and the URL of the node at an address; null if it can't be
 * such a URL.
 *
 * @param {string} url
 */
export function parse_cluster_url(url) {
  const found = URL_FORM.exec(url);
  if (found === null) return null;
  const [, secure, login = "", hosts = "", partition = "0"] = found;
  /** @param {string} host @param {string | number} port */
  const node = (host, port) => `redis${secure}://${login ? `${login}@` : ""}${host}:${port}/0`;
  const nodes = [];
  for (const host of hosts.split(",")) {
    const parts = HOST_FORM.exec(host);
    if (parts === null) return null;
    nodes.push({ host: String(parts[1]), url: node(String(parts[1]), parts[2] ?? PORT) });
  }
  /** @param {string} host @param {number} port */
  const node_at = (host, port) => node(host.includes(":") && !host.startsWith("[") ? `[${host}]` : host, port);
  return { nodes, partition: Number(partition), node_at };
}

/**
 * The URL of the master of a partition's slot, in the cluster that `url` names.
 *
 * @param {string} url
 * @param {number} partition
 */
export function url_of_partition(url, partition) {
  return `${url.split("?")[0]}?partition=${partition}`;
}

/**
 * The slot of all keys of a partition: that of their hash tag, its number.
 *
 * @param {number} partition
 */
export function slot_of_partition(partition) {
  let crc = 0; // CRC-16/XMODEM
  for (const byte of new TextEncoder().encode(String(partition))) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1) & 0xffff;
  }
  return crc % SLOTS;
}

/**
 * Host and port of the master of a slot, by an answer of CLUSTER SLOTS; null if nobody has it. A node
 * without a host is the one that was asked.
 *
 * @param {unknown} answer
 * @param {number} slot
 * @returns {{ host: string, port: number } | null}
 */
export function master_of(answer, slot) {
  if (!Array.isArray(answer)) return null;
  for (const [first, last, master] of answer) {
    if (Number(first) <= slot && slot <= Number(last)) {
      return { host: String(master[0] ?? ""), port: Number(master[1]) };
    }
  }
  return null;
}

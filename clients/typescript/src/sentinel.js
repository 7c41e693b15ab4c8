/**
 * URLs that name Sentinels, which know where the master is:
 *
 *     redis+sentinel://user:password@host-a:26379,host-b:26379/mymaster/0
 *     rediss+sentinel://…?sentinel_username=…&sentinel_password=…
 *
 * User and password are the master's. With `rediss` both are spoken to over TLS.
 */

const URL_FORM = /^redis(s?)\+sentinel:\/\/(?:([^/]*)@)?([^/?@]+)\/([^/?]+)(?:\/(\d+))?\/?(?:\?(.*))?$/;
const HOST_FORM = /^(\[[^\]]+\]|[^:]+)(?::(\d+))?$/;
const PORT = 26379;

/** @param {string} url */
export function is_sentinel_url(url) {
  return /^rediss?\+sentinel:\/\//.test(url);
}

/**
 * The URLs of the Sentinels, the master's name, and its URL once its address is known; null if it
 * can't be such a URL.
 *
 * @param {string} url
 */
export function parse_sentinel_url(url) {
  const found = URL_FORM.exec(url);
  if (found === null) return null;
  const [, secure, login = "", hosts = "", service = "", database = "0", query = ""] = found;
  const named = new URLSearchParams(query);
  for (const name of named.keys()) if (!["sentinel_username", "sentinel_password"].includes(name)) return null;
  const scheme = `redis${secure}://`;
  const sentinel_login = login_of(named.get("sentinel_username"), named.get("sentinel_password"));
  const sentinels = [];
  for (const host of hosts.split(",")) {
    const parts = HOST_FORM.exec(host);
    if (parts === null) return null;
    sentinels.push(`${scheme}${sentinel_login}${parts[1]}:${parts[2] ?? PORT}`);
  }
  /** @param {string} host @param {number} port */
  const master = (host, port) => {
    const name = host.includes(":") ? `[${host}]` : host;
    return `${scheme}${login ? `${login}@` : ""}${name}:${port}/${database}`;
  };
  return { sentinels, service: decodeURIComponent(service), master };
}

/** @param {string | null} user @param {string | null} password */
function login_of(user, password) {
  if (!user && !password) return "";
  return `${encodeURIComponent(user ?? "")}:${encodeURIComponent(password ?? "")}@`;
}

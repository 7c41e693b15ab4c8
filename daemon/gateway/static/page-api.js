// What the pages share: the token, and questions to the gateway.

import { refuse } from "./meterd-stream.js";

/** Where the gateway is. */
export const BASE = new URL("../", import.meta.url);
const KEY = `meterd-token:${location.pathname}`;
const ASK_MS_MAX = 15_000;
const ID_BYTES = 16;

/** Takes `#token=…` out of the address before anybody sees or saves it; it stays in this tab only. */
export function takeToken() {
  const given = /^#token=([^&]+)&?(.*)$/s.exec(location.hash);
  if (!given) return;
  keepToken(decodeURIComponent(given[1]));
  history.replaceState(null, "", location.pathname + location.search + (given[2] ? `#${given[2]}` : ""));
}

export function keepToken(token) {
  sessionStorage.setItem(KEY, token.trim());
}

export function token() {
  return sessionStorage.getItem(KEY);
}

/** What the token says about itself. The gateway checks it; here it is only read. */
export function claims() {
  try {
    const payload = token().split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(payload), (char) => char.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return {};
  }
}

/** Whether the token has a role. What it may, the gateway decides; a page only leaves out what would be refused. */
export function hasRole(name) {
  return [claims().role ?? []].flat().includes(name);
}

/** An id that nobody had before. (crypto.randomUUID is missing on a page that came over plain HTTP.) */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(ID_BYTES));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** `path` with its parts made safe: api`v1/chats/${id}/history`. */
export function api(texts, ...parts) {
  return texts.reduce((path, text, index) => path + encodeURIComponent(parts[index - 1]) + text);
}

/** The answer's JSON; raises RefusedError with what the gateway says is wrong. */
export async function get(path, parameters = {}) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(parameters)) if (value) url.searchParams.set(name, value);
  return (await ask(url, {})).json();
}

/** Posts JSON; the answer's JSON. Raises as `get`. */
export async function post(path, fields) {
  const headers = { "Content-Type": "application/json" };
  return (await ask(new URL(path, BASE), { method: "POST", headers, body: JSON.stringify(fields) })).json();
}

/** Sends one command; the answer is the reply to it. */
export function command(fields) {
  return post("v1/commands", { id: newId(), ...fields });
}

async function ask(url, { headers = {}, ...options }) {
  const response = await fetch(url, {
    ...options,
    headers: { ...headers, Authorization: `Bearer ${token()}` },
    cache: "no-store",
    credentials: "omit",
    signal: AbortSignal.timeout(ASK_MS_MAX),
  });
  return refuse(response);
}

/** An error as a sentence. */
export function says(error) {
  return `${reason(error)}.`.replace(/\.\.$/, ".");
}

function reason(error) {
  if (error.name === "RefusedError") return error.message;
  if (error.name === "TimeoutError") return "The gateway does not answer in time";
  return "The gateway is not reached";
}

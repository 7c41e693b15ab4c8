import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";

import createClient from "openapi-fetch";
import type { components, paths } from "./meterd.js";

type Schemas = components["schemas"];
type Json = `application/${string}json`; // no streams, no tables

const meterd = createClient<paths, Json>({
  baseUrl: process.env.METERD_URL ?? "http://127.0.0.1:8080",
  headers: { Authorization: `Bearer ${process.env.METERD_TOKEN}` },
});

/** The document, or the problem as an error. */
function document<T>({ data, error }: { data?: T; error?: Schemas["Problem"] }): T {
  if (data === undefined) throw new Error(`${error?.code}: ${error?.detail}`);
  return data;
}

async function send(body: Schemas["CommandWithId"]): Promise<void> {
  document(await meterd.POST("/v1/commands", { body }));
}

async function usage(user_id: string): Promise<Schemas["UsageLine"] | undefined> {
  const query = { by: "user", user_id } as const;
  return document(await meterd.GET("/v1/usage", { params: { query } })).usage[0];
}

const [user_id, chat_id] = [randomUUID(), randomUUID()];
let after = document(await meterd.GET("/v1/events")).next;

await send({ type: "top_up", id: `${chat_id}-1`, user_id, amount: "10" });
await send({ type: "start", id: `${chat_id}-2`, chat_id, user_id, advisor_id: "bob", rate: "1.50" });
await send({ type: "end", id: `${chat_id}-3`, chat_id });

for (let ended = false; !ended; ) {
  const query = { after, user_id, wait_ms: 30_000 };
  const { events, next } = document(await meterd.GET("/v1/events", { params: { query } }));
  for (const { event, at } of events) console.log(at, event);
  ended = events.some(({ event }) => event === "chat.ended");
  after = next; // kept with what the events have changed
}

let line = await usage(user_id);
while (line?.chats !== 1) {
  await setTimeout(100); // records follow within a second
  line = await usage(user_id);
}
console.log(user_id, line.active_ms, line.cost);

// What the types refuse: each line below an expectation is an error, or the expectation is one.

import type { components, paths } from "./meterd.js";
import createClient from "openapi-fetch";

type Schemas = components["schemas"];

const meterd = createClient<paths>();

// @ts-expect-error -- a start has an advisor
export const start: Schemas["Command"] = { type: "start", chat_id: "c", user_id: "u" };
// @ts-expect-error -- there is no such command
export const begin: Schemas["Command"] = { type: "begin", chat_id: "c" };
// @ts-expect-error -- of an array each has its id
export const several: Schemas["CommandWithId"][] = [{ type: "end", chat_id: "c" }];
// @ts-expect-error -- there is no such status
export const status: Schemas["Chat"]["status"] = "open";
// @ts-expect-error -- credits are no numbers
export const cost: Schemas["Chat"]["cost"] = 1.5;
// @ts-expect-error -- usage is by something
await meterd.GET("/v1/usage");
// @ts-expect-error -- there is no such parameter
await meterd.GET("/v1/chats", { params: { query: { user: "u" } } });
// @ts-expect-error -- there is no such route
await meterd.GET("/v1/chat");

/** A backend: it starts, switches and ends chats, credits payments, and writes a feed of what happened. */

import { execFileSync } from "node:child_process";
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { CommandRefusedError, Meter, MeterError, UnavailableError, UncertainError } from "meterd";
import { Feed } from "./feed.js";

const BESIDE = fileURLToPath(new URL("feed.jsonl", import.meta.url));
const { PORT = "3000", FEED = BESIDE, WEBHOOK_SECRET, REDIS_URL = redis_of_daemon() } = process.env;
if (!WEBHOOK_SECRET) throw new Error("WEBHOOK_SECRET is not set: the payment provider signs with it");
const STATUS = { insufficient_credits: 402, unknown_chat: 404, invalid_command: 422, internal_error: 500, at_capacity: 503 };
const RETRY_MS = 1_000;
const BODY_BYTES_MAX = 16_384;

const meter = new Meter(REDIS_URL);

const routes = {
  async "/start"({ id, chat_id, user_id, advisor_id, rate }) {
    return (await meter.start(chat_id, user_id, advisor_id, { rate, id })).snapshot;
  },

  /** The user turns from a running chat to a paused one. The first is paused first: the user never pays for both. */
  async "/switch"({ id, from, to, user_id }) {
    // Two commands want two ids. Both are made of the caller's, so that a repeated request repeats both.
    await meter.pause(from, { user_id, id: `${id}:pause` });
    return (await meter.resume(to, { user_id, id: `${id}:resume` })).snapshot;
  },

  async "/end"({ id, chat_id, user_id }) {
    return (await meter.end(chat_id, { user_id, id })).snapshot;
  },

  /** Called by the payment provider, which repeats it until it has a 200. */
  async "/payments"({ id, user_id, amount }, body, signature) {
    if (!is_signed(body, signature)) throw new ProblemError(401, "wrong_signature");
    const { replayed } = await meter.top_up(user_id, amount, { id: `payment:${id}` });
    return { replayed };
  },
};

/** An error with its HTTP status and a code for programs. */
class ProblemError extends Error {
  constructor(status, code, message = code) {
    super(message);
    Object.assign(this, { status, code });
  }
}

/** The daemon of this checkout, for development. */
function redis_of_daemon() {
  return JSON.parse(execFileSync("meterd", ["status", "--json"], { encoding: "utf8" })).redis_url;
}

function is_signed(body, signature = "") {
  const expected = Buffer.from(createHmac("sha256", WEBHOOK_SECRET).update(body).digest("hex"));
  const given = Buffer.from(signature);
  return given.length === expected.length && timingSafeEqual(given, expected);
}

async function answer(request) {
  const route = request.method === "POST" && Object.hasOwn(routes, request.url) && routes[request.url];
  if (!route) throw new ProblemError(404, "no_route");
  const length = Number(request.headers["content-length"]); // NaN without one
  if (!(length <= BODY_BYTES_MAX)) throw new ProblemError(413, "too_large");
  const body = await buffer(request);
  return route(parse(body), body, request.headers["x-signature"]);
}

function parse(body) {
  let fields;
  try {
    fields = JSON.parse(body);
  } catch {
    throw new ProblemError(400, "no_json");
  }
  // Without an id of the caller's, a repeated request would be another command.
  if (typeof fields?.id !== "string") throw new ProblemError(422, "no_id");
  return fields;
}

/** The answer to each kind of error that docs/clients.md lists. */
function problem_of(error) {
  if (error instanceof ProblemError) return error;
  if (error instanceof UncertainError) return new ProblemError(503, "uncertain", "send the same request again");
  if (error instanceof CommandRefusedError) {
    return new ProblemError(STATUS[error.outcome] ?? 409, error.outcome, error.message);
  }
  if (error instanceof MeterError) return new ProblemError(503, "unavailable", error.message);
  if (error instanceof TypeError) return new ProblemError(422, "invalid_command", error.message);
  console.error(error);
  return new ProblemError(500, "failed");
}

const server = createServer(async (request, response) => {
  response.setHeader("Content-Type", "application/json");
  try {
    response.end(JSON.stringify(await answer(request)));
  } catch (error) {
    const { status, code, message } = problem_of(error);
    response.writeHead(status).end(JSON.stringify({ code, message }));
  }
});

/**
 * Write events until they are closed. While Redis is away, try again. `EventsLostError` is not caught: it ends the
 * process, because the feed would have a gap.
 */
async function follow(feed, events) {
  for (;;) {
    try {
      const batch = await events.batch();
      if (batch.length === 0) return;
      await feed.write(batch);
    } catch (error) {
      if (!(error instanceof UnavailableError)) throw error;
      console.error(error.message);
      await sleep(RETRY_MS);
    }
  }
}

const feed = await Feed.open(FEED);
const events = meter.events({ after: feed.after });
const following = follow(feed, events);
server.listen(Number(PORT), "127.0.0.1", () => console.log(`on port ${PORT}, feed goes on after ${feed.after}`));

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, async () => {
    server.close();
    events.close();
    await following;
    await feed.close();
    await meter.close();
  });
}

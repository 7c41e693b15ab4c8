// What TypeScript tells users: `tsc` reads this file, strictly, so each line is a test of types. Nothing runs it.
import {
  type Amount,
  type ChatSnapshot,
  type Event,
  type FreeScope,
  InsufficientCreditsError,
  Meter,
  NoReplyError,
  type Reply,
  type Sent,
  type StartOptions,
  type WalletSnapshot,
  parse_micro,
} from "meterd";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<A>() {
  return <B>(_value: B, _is: Same<A, B>): void => {};
}

const meter = new Meter("redis://h", { in_flight_max: 5, read_record: async () => null });
const maybe: string | undefined = process.env["RATE"];
const options: StartOptions = { rate: maybe, free_scope: "advisor", timeout_s: 3 };
const amount: Amount = 12n;

same<Reply<ChatSnapshot>>()(await meter.start("c", "u", "a"), true);
same<Reply<ChatSnapshot>>()(await meter.start("c", "u", "a", options), true);
same<Reply<ChatSnapshot>>()(await meter.end("c", { reason: "left", id: "i" }), true);
same<Reply<WalletSnapshot>>()(await meter.top_up("u", amount), true);
same<Reply<WalletSnapshot>>()(await meter.adjust("u", "-1", { partial: true }), true);
same<Sent>()(await meter.enqueue.heartbeat("c"), true);
same<Sent>()(await meter.enqueue.top_up("u", "1"), true);
same<Reply<ChatSnapshot> | Reply<WalletSnapshot>>()(await meter.command({ type: "pause", chat_id: "c" }), true);
same<FreeScope>()((await meter.snapshot("c")).free_scope, true);
same<string>()((await meter.wallet("u")).balance, true);
same<number | null>()((await meter.snapshot("c")).ended_at, true);
same<bigint>()(parse_micro("1.5"), true);
for await (const event of meter.events({ after: "0" })) same<Event>()(event, true);

try {
  await meter.pause("c");
} catch (error) {
  if (error instanceof NoReplyError) same<string>()(error.entry, true);
  if (error instanceof InsufficientCreditsError) same<string>()(error.outcome, true);
}

// @ts-expect-error a number may not be exact
await meter.set_rate("c", 0.5);
// @ts-expect-error an option that is not there
await meter.pause("c", { timeout: 1 });
// @ts-expect-error no such scope
await meter.start("c", "u", "a", { free_scope: "city" });
// @ts-expect-error milliseconds are numbers
await meter.start("c", "u", "a", { idle_ms: "1000" });
// @ts-expect-error what an adopted chat brings is not optional
await meter.adopt("c", "u", "a", { started_at: 1 });
// @ts-expect-error what comes back is frozen
(await meter.wallet("u")).balance = "1";
// @ts-expect-error a snapshot may be missing
(await meter.pause("c")).snapshot.status;

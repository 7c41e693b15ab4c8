// Drives the client for the tests: one request as JSON on each line of stdin, one answer for each on stdout.
// Arguments: the folder of the package.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const { Meter } = await import(pathToFileURL(`${process.argv[2]}/src/index.js`).href);

const CHAT = ["chat_id", "user_id", "advisor_id"];
const ACCOUNT = ["user_id", "amount"];
const POSITIONAL = {
  start: CHAT,
  adopt: CHAT,
  set_rate: ["chat_id", "rate"],
  refund: ["chat_id", "amount"],
  top_up: ACCOUNT,
  adjust: ACCOUNT,
  wallet: ["user_id"],
  command: ["fields"],
};

const meters = new Map();
const followed = new Map();

const requests = {
  make({ meter, url, options }) {
    meters.set(meter, new Meter(url, options));
  },
  call({ meter, method, args, enqueue }) {
    const target = enqueue ? meters.get(meter).enqueue : meters.get(meter);
    const positional = POSITIONAL[method] ?? ["chat_id"];
    const { ...options } = args;
    for (const name of positional) delete options[name];
    return target[method](...positional.map((name) => args[name]), options);
  },
  async follow({ meter, name, after, user_id }) {
    followed.set(name, await meters.get(meter).events({ after, user_id: user_id ?? undefined }).begin());
  },
  async read({ name, count }) {
    const iterator = followed.get(name);
    const events = [];
    while (events.length < count) {
      const { done, value } = await iterator.next();
      if (done) break;
      events.push(value);
    }
    return { events, after: iterator.after };
  },
  unfollow({ name }) {
    followed.get(name).close();
  },
  async close({ meter }) {
    await meters.get(meter).close();
  },
  // What a snapshot says for a later moment.
  async later({ snapshot, method, now_ms }) {
    const { ChatSnapshot, WalletSnapshot } = await import(pathToFileURL(`${process.argv[2]}/src/index.js`).href);
    const read = "chat_id" in snapshot ? new ChatSnapshot(snapshot) : new WalletSnapshot(snapshot);
    return read[method](now_ms);
  },
};

function described(error) {
  const kinds = [];
  for (let kind = error.constructor; kind.name; kind = Object.getPrototypeOf(kind)) kinds.push(kind.name);
  return { ...error, error: error.name, kinds, message: error.message };
}

for await (const line of createInterface({ input: process.stdin })) {
  const { n, request, ...given } = JSON.parse(line);
  const answer = (said) => process.stdout.write(`${JSON.stringify({ n, ...said })}\n`);
  Promise.resolve()
    .then(() => requests[request](given))
    .then(
      (result) => answer({ result: result ?? null }),
      (error) => answer({ failed: described(error) }),
    );
}
process.exit(0);

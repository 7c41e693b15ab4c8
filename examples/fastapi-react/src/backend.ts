/** The routes of backend/app.py. */

export interface Session {
  readonly user: string;
  readonly advisor: string;
  /** The address of meterd's gateway. */
  readonly gateway: string;
}

export type Action = "start" | "pause" | "resume" | "end";

const ATTEMPTS_MAX = 5;
const PAUSE_MS = 1_000;

export async function logIn(): Promise<Session> {
  return (await post("/api/login")).json();
}

/** All clocks are given this function: those with the same one share a connection. */
export async function token(): Promise<string> {
  return (await post("/api/token")).text();
}

/** Buys credits; gives what the webhook answered to each delivery. */
export async function buy(): Promise<readonly string[]> {
  const { answers } = (await (await post("/api/buy")).json()) as { answers: string[] };
  return answers;
}

/** One click has one key, so that a repeated request has one effect. */
export async function send(chat: string, action: Action): Promise<void> {
  await post(`/api/chats/${chat}/${action}`, { "Idempotency-Key": crypto.randomUUID() });
}

async function post(path: string, headers: HeadersInit = {}): Promise<Response> {
  for (let attempt = 1; ; attempt += 1) {
    const answer = await fetch(path, { method: "POST", headers });
    if (answer.ok) return answer;
    const problem = await answer.json().catch(() => ({}));
    if (problem.code !== "uncertain" || attempt === ATTEMPTS_MAX) {
      throw new Error(problem.detail ?? `the backend answered ${answer.status}`);
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

// What the clock shows and says of its state. A view is {state, link, problem, chat, figures, warned} at one moment.

// Our clock may be a little behind the queue's, and a warning of the daemon's holds nevertheless.
const SLACK_MS = 1_000;

/** The threshold in milliseconds, if no more than that is left; it is over when there is more time again. */
export function stillWarned(thresholdMs, view) {
  const left = view.figures?.leftMs ?? null;
  const holds = thresholdMs > 0 && left !== null && left <= thresholdMs + SLACK_MS && view.state !== "ended";
  return holds ? thresholdMs : null;
}

/** States that hold, to be styled by. */
export function marksOf(view, isCompact) {
  const marks = { compact: isCompact, low: view.warned !== null, lost: view.link === "lost" };
  return [view.state, ...Object.keys(marks).filter((name) => marks[name])];
}

/** The state and, where it is not as somebody wanted it, its reason. */
export function stateOf(view, voice) {
  return voice.state(view.state, reasonOf(view));
}

function reasonOf({ state, chat }) {
  if (state === "ended" && chat.end_reason !== "ended") return chat.end_reason;
  return state === "paused" && chat.pause_reason !== "command" ? chat.pause_reason : "";
}

/** The figures as text; what is not there is not shown. */
export function textsOf({ figures, state }, voice) {
  if (!figures) return {};
  const { cost, rate, balance, leftMs } = figures;
  return {
    cost: voice.credits(cost),
    rate: state === "not_started" ? null : voice.rate(rate),
    balance: balance === null ? null : voice.credits(balance),
    left: leftMs === null ? null : voice.duration(leftMs, { up: true }),
  };
}

/** The sentence under the figures. */
export function noteOf(view, voice) {
  if (view.link === "refused") return view.problem?.word ? voice.say(view.problem.word) : (view.problem?.message ?? "");
  if (view.link === "lost" && !view.figures) return whyLost(view.problem, voice);
  if (view.link === "lost") return voice.say("lost");
  return view.warned === null ? "" : voice.low(view.figures.leftMs);
}

/** The gateway's own words, if it has answered at all. */
function whyLost(problem, voice) {
  if (problem?.name === "RefusedError") return problem.message;
  return voice.say(problem?.name === "NoTokenError" ? "token_awaited" : "unreached");
}

/** Remembers what was said last, and finds what is new. */
export class News {
  #before = null;

  /** Sentences to be announced; none for what was on the page at first, and none for mere ticking. */
  of(view, voice) {
    const before = this.#before;
    // By what it is, not by its words: "0:00:59 left" would be another sentence every second.
    const now = { state: `${view.state} ${reasonOf(view)}`, lost: view.link === "lost", warned: view.warned };
    this.#before = now;
    if (before === null || before.state.startsWith("connecting")) return [];
    return [
      now.state !== before.state && stateOf(view, voice),
      now.lost !== before.lost && voice.say(now.lost ? "lost" : "again"),
      now.warned !== before.warned && now.warned !== null && voice.low(view.figures.leftMs),
    ].filter(Boolean);
  }
}

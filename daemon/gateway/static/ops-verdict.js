// One line that says how the service is: its state, since when, why, what to do, and which service this is. Below it the
// alarms, if there are any.

import { byId, facts, h, put } from "./page-dom.js";
import { moment, span } from "./ops-moments.js";
import { capital, count } from "./ops-show.js";

const TONES = {
  ready: "good",
  starting: "warn",
  recovering: "warn",
  standby: "warn",
  degraded: "warn",
  stopping: "warn",
  restarting: "warn",
};

/**
 * What there is to say of a status: {state, tone, worst, since, why, next, progress, restarts}; what is not known is
 * null. `worst` is the tone of the state or of an alarm. A daemon before 0.2 says less.
 */
export function verdictOf(status) {
  const { state = "unknown", state_since: since, why, next_step: next, recovery, alarms = [] } = status;
  const tone = TONES[state] ?? "bad";
  return {
    state: capital(state),
    tone,
    worst: worst([tone, ...alarms.map(({ severity }) => (severity === "critical" ? "bad" : "warn"))]),
    since: since ?? null,
    why: why || null,
    next: next || null,
    progress: recovery ? { done: recovery.chats_done, total: recovery.chats_total } : null,
    restarts: restartsOf(status),
  };
}

function worst(tones) {
  return ["bad", "warn"].find((tone) => tones.includes(tone)) ?? "good";
}

/** How often actors were started again. */
function restartsOf({ actor_restarts: all, actors }) {
  if (Number.isFinite(all)) return all;
  return actors ? actors.reduce((sum, { restarts = 0 }) => sum + restarts, 0) : null;
}

export class Verdict {
  #since = null;

  show(status) {
    const verdict = verdictOf(status);
    this.#since = verdict.since;
    this.#say(verdict.tone, verdict.worst, verdict.state, verdict.why);
    showMoment("since ", verdict.since);
    this.age(status.now);
    showNext(verdict);
    showProgress(verdict.progress);
    showPlace(status, verdict.restarts);
    showAlarms(status.alarms ?? []);
    document.title = [verdict.state, status.environment, "meterd"].filter(Boolean).join(" · ");
  }

  /** No answer: what was known last is on the page, and `why` says what is wrong. */
  lose(why, known) {
    this.#say("bad", "bad", "No answer", why);
    showMoment("Figures as of ", known);
    put(byId("since-span"), "");
    document.title = "No answer · meterd";
  }

  #say(tone, worstTone, state, why) {
    byId("verdict").dataset.tone = worstTone;
    byId("state").dataset.tone = tone;
    put(byId("state"), state);
    put(byId("why"), capital(why ?? ""));
  }

  /** For how long it is in this state. */
  age(now) {
    if (this.#since !== null && now !== null) put(byId("since-span"), `(${span(Math.max(0, now - this.#since))})`);
  }
}

/** A moment and what it is; nothing if it is not known. What somebody may be selecting stays while it is the same. */
function showMoment(words, ms) {
  const place = byId("since");
  const shown = ms === null ? "" : words + ms;
  if (place.dataset.shown === shown) return;
  place.dataset.shown = shown;
  place.replaceChildren(...(ms === null ? [] : [words, moment(ms)]));
}

function showNext({ next }) {
  byId("next").hidden = next === null;
  put(byId("next-step"), next ?? "");
}

function showProgress(progress) {
  byId("progress").hidden = progress === null;
  if (progress === null) return;
  const { done, total } = progress;
  put(byId("progress-said"), `${count(done)} of ${count(total)} chats placed`);
  Object.assign(byId("progress-bar"), { max: Math.max(1, total), value: done });
}

function showPlace({ environment, version }, restarts) {
  const shown = [environment, version, restarts].join(" ");
  const place = byId("place");
  if (place.dataset.shown === shown) return;
  place.dataset.shown = shown;
  place.replaceChildren(
    facts([
      ["Environment", environment],
      ["Version", version],
      ["Actor restarts", restarts === null ? null : count(restarts)],
    ]),
  );
}

function showAlarms(alarms) {
  const shown = JSON.stringify(alarms);
  const list = byId("alarms");
  if (list.dataset.shown === shown) return; // said once, not every two seconds
  list.dataset.shown = shown;
  list.replaceChildren(...alarms.map(alarmItem));
  byId("alarm-count").hidden = alarms.length === 0;
  put(byId("alarm-count"), alarms.length === 1 ? "1 alarm" : `${count(alarms.length)} alarms`);
}

function alarmItem({ name, severity, summary }) {
  const mark = h("strong", { class: "severity" }, capital(severity));
  return h("li", { class: severity }, mark, " ", `${capital(summary)}. `, h("code", { class: "soft" }, name));
}

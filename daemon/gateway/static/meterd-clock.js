// <meterd-clock chat="…" user="…" src="…">: how long a chat has run, what it costs, what is left. Reads one stream of the
// gateway and draws from what that says; nothing is ever added up here, so a page that slept shows the right figures at once.

import { figuresAt, newer } from "./meterd-draw.js";
import { Face } from "./meterd-face.js";
import { join, tokenOf, walletsOf } from "./meterd-feed.js";
import { reflect, takeEarly } from "./meterd-properties.js";
import { refuse } from "./meterd-stream.js";
import { News, marksOf, noteOf, stateOf, stillWarned, textsOf } from "./meterd-tell.js";
import { clockOf, keepDrawing, stopDrawing } from "./meterd-time.js";
import { Voice, langOf } from "./meterd-words.js";

// As sure of the queue's clock as a second's figure needs; if the first answer was slow, it asks again.
const UNCERTAIN_MS_MAX = 100;
const ANSWER_MS_MAX = 5_000;
const ASK_AGAIN_MS = 1_000;
const LOOKS = ["lang", "compact", "digits", "label", "low-ms"];

export class MeterdClock extends HTMLElement {
  static observedAttributes = ["chat", "user", "src", "token", ...LOOKS];

  #face = new Face(this);
  #voice = null;
  #words = {};
  #token = null;
  #feed = null;
  #isJoining = false;
  #clock = null;
  #sleeps = 0;
  #snapshot = null;
  #wallet = null;
  #link = "connecting";
  #problem = null;
  #warned = null;
  #news = new News();
  #question = null;
  #tick = (steady) => this.#draw(steady);
  #listener = {
    hear: (message) => this.#hear(message),
    tell: (link, problem) => this.#tell(link, problem),
  };

  /**
   * A token, or a function (async or not) that gives one; it is called again when a token is over. What is set here
   * is not written to the attribute: whatever reads or records the page's elements would have the token, too.
   */
  get token() {
    return this.#token ?? this.getAttribute("token");
  }

  set token(token) {
    this.#token = token ?? null;
    if (!this.#feed?.replaceSource(this.token) && this.#link !== "live") this.#restart();
  }

  /** Sentences to be said otherwise: see WORDS in meterd-words.js. */
  set words(words) {
    this.#words = words;
    this.#speak();
  }

  get words() {
    return this.#words;
  }

  /** The chat's snapshot as the gateway gave it; null before the first. */
  get snapshot() {
    return this.#snapshot;
  }

  /** The wallet's snapshot; null before the first, and for whoever may not see it. */
  get wallet() {
    return this.#wallet;
  }

  /** connecting, not_started, running, paused, suspended, ended or refused. */
  get state() {
    if (this.#link === "refused") return "refused";
    return this.#snapshot?.status ?? "connecting";
  }

  /** Whether the connection is there: connecting, live, lost or refused. */
  get link() {
    return this.#link;
  }

  /** What is shown at this moment, in integers: {now, activeMs, cost, rate, balance, leftMs}; credits are BigInt. */
  get figures() {
    return this.#figuresAt(undefined);
  }

  #figuresAt(steady) {
    const now = this.#clock?.now(steady) ?? null;
    return this.#snapshot && now !== null ? figuresAt(this.#snapshot, this.#wallet, now) : null;
  }

  connectedCallback() {
    takeEarly(this, "token", "words");
    for (const [target, name] of this.#wakers()) target.addEventListener(name, this);
    this.#speak();
    this.#restart();
  }

  disconnectedCallback() {
    for (const [target, name] of this.#wakers()) target.removeEventListener(name, this);
    this.#stop();
  }

  attributeChangedCallback(name, before, after) {
    if (!this.isConnected || before === after) return;
    if (LOOKS.includes(name)) this.#speak();
    else this.#restart();
  }

  /** The page is seen again, or the network is back. */
  handleEvent(event) {
    if (event.type === "offline") return this.#feed?.drop();
    if (document.visibilityState === "hidden") return;
    this.#feed?.retry();
    this.#clock?.look();
    this.#draw();
  }

  #wakers() {
    return [
      [document, "visibilitychange"],
      [window, "pageshow"],
      [window, "online"],
      [window, "offline"],
    ];
  }

  #restart() {
    this.#stop();
    if (!this.isConnected) return;
    this.#question = null;
    this.#clock = clockOf(this.#gateway().href);
    this.#sleeps = this.#clock.sleeps;
    [this.#link, this.#problem, this.#warned, this.#news] = ["connecting", null, null, new News()];
    if (!this.#isMine(this.#snapshot)) [this.#snapshot, this.#wallet] = [null, null];
    this.#draw();
    this.#joinSoon();
  }

  /** Once for all that is set in one go: a framework sets one property after the other. */
  #joinSoon() {
    if (this.#isJoining) return;
    this.#isJoining = true;
    queueMicrotask(() => {
      this.#isJoining = false;
      if (this.isConnected) this.#join();
    });
  }

  #join() {
    if (!this.chat) this.#lack("no_chat");
    else if (!this.token) this.#lack("no_token");
    else this.#feed = join(this.#place(), this.token, this.#clock, this.#listener);
  }

  /** What the page has not given yet; `word` is the sentence's name. */
  #lack(word) {
    [this.#link, this.#problem] = ["refused", { word }];
    this.#draw();
    this.#changed("refused", null);
  }

  #stop() {
    this.#feed?.leave(this.#listener);
    this.#feed = null;
    stopDrawing(this.#tick);
  }

  #gateway() {
    // By default the gateway is where this file came from: …/static/meterd-clock.js.
    const base = this.src ?? new URL("../", import.meta.url).href;
    return new URL(base.endsWith("/") ? base : `${base}/`, document.baseURI);
  }

  #url() {
    return new URL(`v1/chats/${encodeURIComponent(this.chat)}`, this.#gateway()).href;
  }

  #place() {
    return { gateway: this.#gateway().href, user: this.user, chat: this.chat };
  }

  #tell(link, problem) {
    // Another token has been set meanwhile, while the old one was still good.
    if (link === "refused" && this.#feed.source !== this.token) return this.#restart();
    const was = this.#link;
    [this.#link, this.#problem] = [link, problem];
    if (link === "live" && this.#isUnsure()) this.#ask();
    this.#draw();
    if (link !== was) this.#changed(link, null);
  }

  #hear({ event, data }) {
    const chat = event === "snapshot" ? data.chats.find((each) => this.#isMine(each)) : data.chat;
    this.#take(this.#isMine(chat) ? chat : null, walletsOf(data));
    if (event !== "snapshot" && !this.#isAbout(data)) return;
    if (event === "credits.low") this.#warned = data.threshold_ms;
    // A user's snapshot has the open chats only.
    if (event === "snapshot" && (!this.#isMine(chat) || this.#isUnsure())) this.#ask();
    this.#draw();
    this.#changed(event, data);
  }

  /** Whether a message is of this chat or of its user; a stream may have several of both. */
  #isAbout({ chat_id: chat, user_id: user }) {
    return chat === this.chat || user === this.#payer;
  }

  /** Whose wallet is shown. */
  get #payer() {
    return this.user || (this.#snapshot?.user_id ?? null);
  }

  #isUnsure() {
    return this.#clock.now() !== null && this.#clock.uncertainMs > UNCERTAIN_MS_MAX;
  }

  #isMine(chat) {
    return chat?.chat_id === this.chat;
  }

  #take(chat, wallets) {
    this.#snapshot = newer(this.#snapshot, chat);
    this.#wallet = newer(this.#wallet, wallets.find((each) => each.user_id === this.#payer) ?? null);
  }

  /** Ask once more, over the connection that is there now: how late is it, and how is the chat? */
  async #ask() {
    if (this.#question || !this.#feed) return;
    const question = (this.#question = {});
    try {
      const token = await tokenOf(this.token, null);
      const askedAt = this.#clock.steady();
      const answer = await this.#answer(token);
      if (question === this.#question) this.#answered(answer, askedAt);
    } catch {
      this.#clock.assumeSlept(); // the stream knows better what is wrong, and says so
      if (question === this.#question && !this.#snapshot) setTimeout(() => this.#ask(), ASK_AGAIN_MS * (1 + Math.random()));
    } finally {
      if (question === this.#question) this.#question = null;
    }
  }

  async #answer(token) {
    const headers = { Authorization: `Bearer ${token}` };
    const signal = AbortSignal.timeout(ANSWER_MS_MAX);
    const response = await fetch(this.#url(), { headers, signal, cache: "no-store", credentials: "omit" });
    return (await refuse(response)).json();
  }

  #answered({ now, source, wallet, ...chat }, askedAt) {
    this.#clock.learn(now, askedAt);
    this.#take(this.#isMine(chat) ? chat : null, walletsOf({ wallet }));
    this.#draw();
    this.#changed("asked", null);
  }

  /** `event` is the message's name or, without a message, what the connection is like now, or `asked`. */
  #changed(event, message) {
    const { state, link, snapshot, wallet } = this;
    const detail = { event, message, state, link, snapshot, wallet };
    this.dispatchEvent(new CustomEvent("meterd-change", { detail, bubbles: true, composed: true }));
  }

  #speak() {
    this.#voice = new Voice(langOf(this), this.digits, this.#words);
    this.#face.name(this.#voice, this.label);
    this.#draw();
  }

  #view(steady) {
    const figures = this.#figuresAt(steady);
    const view = { state: this.state, link: this.#link, problem: this.#problem, chat: this.#snapshot, figures };
    this.#warned = this.#warned === null ? null : stillWarned(this.#warned, view);
    // The page's own threshold: a warning of the daemon's is not told again to a page that was loaded since.
    return { ...view, warned: this.#warned ?? stillWarned(this.lowMs, view) };
  }

  #draw(steady) {
    if (!this.isConnected || !this.#voice) return;
    if (this.#sleeps !== (this.#clock?.sleeps ?? 0)) this.#wake();
    const [view, voice] = [this.#view(steady), this.#voice];
    this.#face.show({
      marks: marksOf(view, this.compact),
      state: stateOf(view, voice),
      time: voice.duration(view.figures?.activeMs ?? 0),
      figures: textsOf(view, voice),
      note: noteOf(view, voice),
    });
    this.#face.announce(this.#news.of(view, voice));
    this.#keepDrawing();
  }

  /** After a sleep the connection is dead more often than not, and nobody would say so. */
  #wake() {
    this.#sleeps = this.#clock.sleeps;
    this.#feed?.drop();
    this.#ask();
  }

  /** Draws on while something moves; what is shown depends on the moment alone. */
  #keepDrawing() {
    const falls = (this.#wallet?.zero_at ?? null) !== null;
    const moves = this.#feed !== null && (falls || this.#snapshot?.status === "running");
    if (moves) keepDrawing(this.#tick);
    else stopDrawing(this.#tick);
  }
}

reflect(MeterdClock);
if (!customElements.get("meterd-clock")) customElements.define("meterd-clock", MeterdClock);

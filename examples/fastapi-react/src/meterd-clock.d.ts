// Types of meterd-clock.js, for pages in TypeScript. Times are milliseconds of the queue's clock, amounts of credits are
// decimal strings with six places.

export type ClockState = "connecting" | "not_started" | "running" | "paused" | "suspended" | "ended" | "refused";
export type ClockLink = "connecting" | "live" | "lost" | "refused";

/** A token, or a function that gives one each time that it is called. */
export type TokenSource = string | (() => string | Promise<string>);

/** A chat as of its last change. */
export interface ChatSnapshot {
  readonly chat_id: string;
  readonly user_id: string | null;
  readonly advisor_id: string | null;
  readonly status: "running" | "paused" | "suspended" | "ended" | "not_started";
  readonly as_of: number | null;
  readonly started_at: number | null;
  readonly ended_at: number | null;
  readonly end_reason: string | null;
  readonly pause_reason: string | null;
  readonly active_ms: number;
  readonly paused_ms: number;
  readonly billed_ms: number;
  readonly cost: string;
  readonly refunded: string;
  readonly rate: string;
  readonly free_ms: number;
  readonly free_scope: "chat" | "advisor" | "user";
  readonly min_ms: number;
  readonly increment_ms: number;
  readonly increment_due: "begin" | "end";
  readonly idle_ms: number;
  readonly abandon_ms: number;
  readonly max_ms: number;
  readonly seq: number;
  readonly carried_cost?: string;
}

/** A running chat of a wallet: what its cost grows by. */
export interface RunningChat {
  readonly chat_id: string;
  readonly rate: string;
  readonly as_of: number;
  readonly active_ms: number;
  readonly free_ms: number;
  readonly min_ms: number;
  readonly increment_ms: number;
  readonly increment_due: "begin" | "end";
}

/** A user's account as of its last change. */
export interface WalletSnapshot {
  readonly user_id: string;
  readonly as_of: number | null;
  readonly balance: string;
  readonly burn_rate: string;
  readonly zero_at: number | null;
  readonly open_chats: number;
  readonly seq: number;
  readonly running: readonly RunningChat[];
}

/** What is shown at a moment; credits are micro-credits. */
export interface ClockFigures {
  readonly now: number;
  readonly activeMs: number;
  readonly cost: bigint;
  readonly rate: bigint;
  readonly balance: bigint | null;
  readonly leftMs: number | null;
}

/** What a page sets; null takes an attribute away. */
export interface ClockProperties {
  chat: string | null;
  user: string | null;
  src: string | null;
  label: string | null;
  /** Places of credits, 0 to 6. */
  digits: number | null;
  compact: boolean | null;
  /** Warn when no more time than this is left, in milliseconds. */
  lowMs: number | null;
  token: TokenSource | null;
  /** Sentences to be said otherwise, by the names of WORDS in meterd-words.js. */
  words: Readonly<Record<string, string>>;
}

export interface ClockChange {
  /** The message's name or, without a message, what the connection is like now, or `asked`. */
  readonly event: string;
  /** The stream's message as it came: docs/http.md. */
  readonly message: Readonly<Record<string, unknown>> | null;
  readonly state: ClockState;
  readonly link: ClockLink;
  readonly snapshot: ChatSnapshot | null;
  readonly wallet: WalletSnapshot | null;
}

export type ClockChangeEvent = CustomEvent<ClockChange>;

export class MeterdClock extends HTMLElement implements ClockProperties {
  get chat(): string | null;
  set chat(value: string | null | undefined);
  get user(): string | null;
  set user(value: string | null | undefined);
  get src(): string | null;
  set src(value: string | null | undefined);
  get label(): string | null;
  set label(value: string | null | undefined);
  get digits(): number;
  set digits(value: number | null | undefined);
  get compact(): boolean;
  set compact(value: boolean | null | undefined);
  get lowMs(): number;
  set lowMs(value: number | null | undefined);
  get token(): TokenSource | null;
  set token(value: TokenSource | null | undefined);
  words: Readonly<Record<string, string>>;
  readonly snapshot: ChatSnapshot | null;
  readonly wallet: WalletSnapshot | null;
  readonly state: ClockState;
  readonly link: ClockLink;
  readonly figures: ClockFigures | null;
}

declare global {
  interface HTMLElementTagNameMap {
    "meterd-clock": MeterdClock;
  }
  interface HTMLElementEventMap {
    "meterd-change": ClockChangeEvent;
  }
  interface DocumentEventMap {
    "meterd-change": ClockChangeEvent;
  }
}

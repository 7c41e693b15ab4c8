"""What commands, events and fields mean, in the contract's words; their forms are the rules'."""

from typing import Final

COMMANDS: Final = {
    "start": "Opens the chat, running.",
    "adopt": "Opens a chat that ran in another system until now. `started_at` + `carried_ms` can't "
    "be later than the command.",
    "pause": "Stops the timer.",
    "resume": "Runs it again.",
    "heartbeat": "The user is still there; resumes a chat that was paused as idle.",
    "set_rate": "Another rate from now on; refused like a `start` if it can't be paid.",
    "end": "Closes the record.",
    "top_up": "Adds credits; resumes suspended chats.",
    "refund": "Gives credits of an ended chat back, at most its cost in all.",
    "adjust": "Corrects an account by hand: a chargeback, a typo, goodwill. A negative amount that "
    "is more than there is gets refused, or with `partial` takes what there is.",
    "settle": "Appended by the daemon when something falls due. It changes nothing by itself: it "
    "only makes the due change happen now.",
}

EVENTS: Final = {
    "chat.started": "The chat runs for the first time.",
    "chat.paused": "Its timer stands still, by a command or because nobody was there.",
    "chat.resumed": "Its timer runs again.",
    "chat.rate_changed": "Another rate is in force.",
    "chat.suspended": "Out of credits, it waits for some.",
    "chat.ended": "Its record is closed, for ever.",
    "chat.refunded": "Credits of it were given back.",
    "wallet.topped_up": "Credits were added.",
    "wallet.adjusted": "Credits were given or taken by hand.",
    "credits.low": "The time left has fallen to a threshold.",
    "credits.exhausted": "The account can't pay for the next millisecond of what burns.",
}

FIELDS: Final = {
    "type": "What is wanted.",
    "id": "The idempotency key: the same id with the same content has one effect and gets the "
    "first outcome again, for at least 24 hours; of `top_up`, `refund` and `adjust` for 30 days.",
    "reply_to": "Names the stream that the reply goes to; without it there is none.",
    "chat_id": "The chat: one timer and one record, for ever.",
    "user_id": "Whose account pays.",
    "advisor_id": "Who is paid for.",
    "rate": "Credits a minute; may be 0.",
    "amount": "Credits, more than 0; of `adjust` with an optional minus before them.",
    "partial": "1: take what is there, if that is less.",
    "reason": "Why.",
    "free_ms": "Free time at the start.",
    "free_scope": "Whose `free_ms` is: the chat's, or one allowance for all of the user's chats "
    "with that advisor, or for all of the user's chats.",
    "min_ms": "Least time billed once free time is over.",
    "increment_ms": "Time is billed in whole steps of this, at least 1.",
    "increment_due": "An increment is owed as soon as it begins, or once it is complete (`end`).",
    "abandon_ms": "The chat ends after so long without a sign of life; 0: never.",
    "max_ms": "The chat ends when it has been active for so long; 0: never.",
    "idle_ms": "The chat is paused after so long without a sign of life; 0: never.",
    "started_at": "When it started, in ms since 1970.",
    "carried_ms": "For how long it had been active by then.",
    "carried_cost": "What it had cost by then; never charged here.",
    "carried_free_ms": "How much of `carried_ms` was free, no more than that; if it is not "
    "given, the lesser of it and `free_ms`.",
    "outcome": "`ok`, or why not.",
    "message": "The same for a person.",
    "entry": "The command's place in the queue; it happened at the millisecond before the dash.",
    "replayed": "1: the id was used before, and this entry had no effect of its own.",
    "snapshot": "The chat, or of `top_up`, `adjust` and `settle` the wallet, as JSON; absent where "
    "there is none.",
    "event": "What happened.",
    "at": "When, in ms since 1970 by the queue's clock.",
    "seq": "Number of the snapshot that it made, of the chat or else of the wallet.",
    "threshold_ms": "The threshold, in ms of time left.",
    "fields": "What was sent, as JSON; a field that came twice is a list.",
}

CHAT: Final = {
    "status": "`suspended`: out of credits, waiting for some. A chat that never started has no key;"
    " clients say `not_started`.",
    "as_of": "The moment of its last change; all figures are as of then.",
    "ended_at": "null while it is open.",
    "end_reason": "null while it is open.",
    "pause_reason": "null unless it is paused.",
    "active_ms": "Time running. While `running`, active_ms + (now − as_of) have passed.",
    "paused_ms": "All other time, up to the end.",
    "billed_ms": "What active_ms comes to after free time, minimum and increments.",
    "free_ms": "Free time. Of a chat that shares it, what it has used and, while it runs, what it "
    "will still get if nothing else changes; it moves with changes of the account.",
    "cost": "Credits it cost, carried_cost included.",
    "refunded": "Credits of it given back.",
    "rate": "Credits a minute, the last in force.",
    "seq": "Grows with every change of the chat.",
    "carried_cost": "Of an adopted chat, unless it is 0.",
}

WALLET: Final = {
    "as_of": "The moment of its last change; all figures are as of then.",
    "balance": "Credits available.",
    "burn_rate": "Credits a minute of all chats that cost at as_of.",
    "zero_at": "The last millisecond that can be paid for if nothing else happens; null if "
    "nothing burns.",
    "open_chats": "How many there are.",
    "seq": "Grows with every change of the account.",
}

import { useEffect, useState } from "react";
import { type Action, type Session, buy, send } from "./backend";
import { Chat } from "./Chat";

const SLOTS = ["First chat", "Second chat"] as const;

export function App({ session }: { session: Session }) {
  const [notice, setNotice] = useState("");

  async function attempt(what: () => Promise<string>): Promise<void> {
    setNotice("");
    setNotice(await what().catch((error: unknown) => (error instanceof Error ? error.message : String(error))));
  }

  function act(chat: string, action: Action): void {
    void attempt(async () => {
      await send(chat, action);
      return "";
    });
  }

  function buyCredits(): void {
    void attempt(async () => `One payment, two webhooks: ${(await buy()).join(", ")}.`);
  }

  return (
    <main>
      <h1>Two chats with {session.advisor}</h1>
      <Balance />
      <button onClick={buyCredits}>Buy credits</button>
      <div className="chats">
        {SLOTS.map((slot) => (
          <Chat key={slot} name={slot} user={session.user} act={act} />
        ))}
      </div>
      <p role="status" aria-label="Notice">
        {notice}
      </p>
    </main>
  );
}

/** The one balance of both chats, as the clocks compute it. */
function Balance() {
  const [balance, setBalance] = useState<bigint | null>(null);

  useEffect(() => {
    const timer = setInterval(() => {
      setBalance(document.querySelector("meterd-clock")?.figures?.balance ?? null);
    }, 100);
    return () => clearInterval(timer);
  }, []);

  // Micro-credits; cut off to hundredths, never rounded up.
  const shown = balance === null ? "…" : (Number(balance / 10_000n) / 100).toFixed(2);
  return (
    <p>
      Balance:{" "}
      <span role="timer" aria-label="Balance">
        {shown}
      </span>
    </p>
  );
}

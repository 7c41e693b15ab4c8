import { useState } from "react";
import { type Action, token } from "./backend";
import type { ClockState } from "./meterd-clock";
import type {} from "./meterd-clock-react";

const ACTIONS: Readonly<Partial<Record<ClockState, readonly Action[]>>> = {
  not_started: ["start"],
  running: ["pause", "end"],
  paused: ["resume", "end"],
  suspended: ["resume", "end"],
};

interface Props {
  readonly name: string;
  readonly user: string;
  readonly act: (chat: string, action: Action) => void;
}

export function Chat({ name, user, act }: Props) {
  // The id is kept, so that a page that is loaded again shows the same chat.
  const place = `${user}: ${name}`;
  const [chat, setChat] = useState(() => localStorage.getItem(place) ?? renew(place));
  const [state, setState] = useState<ClockState>("connecting");

  return (
    <section aria-label={name}>
      <meterd-clock
        chat={chat}
        user={user}
        token={token}
        label={name}
        onmeterd-change={({ detail }) => setState(detail.state)}
      />
      {ACTIONS[state]?.map((action) => (
        <button key={action} onClick={() => act(chat, action)}>
          {action}
        </button>
      ))}
      {state === "ended" && <button onClick={() => setChat(renew(place))}>new chat</button>}
    </section>
  );
}

/** An id names one chat for ever: another chat wants another id. */
function renew(place: string): string {
  const chat = crypto.randomUUID();
  localStorage.setItem(place, chat);
  return chat;
}

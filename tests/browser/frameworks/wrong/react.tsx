// What the types refuse: each line below an expectation is an error, or the expectation is one.

import type {} from "./meterd-clock-react";

export const wrong = [
  // @ts-expect-error -- a chat is named by a string
  <meterd-clock key="1" chat={1} />,
  // @ts-expect-error -- a token is a string, or a function that gives one
  <meterd-clock key="2" token={async () => 1} />,
  // @ts-expect-error -- there is no such property
  <meterd-clock key="3" lowSeconds={1} />,
  // @ts-expect-error -- snapshots can only be read
  <meterd-clock key="4" snapshot={null} />,
  // @ts-expect-error -- the event's detail has no chat
  <meterd-clock key="5" onmeterd-change={({ detail }) => detail.chat} />,
];

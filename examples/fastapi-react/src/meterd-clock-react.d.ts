// <meterd-clock> in JSX of React 19. Import it once: import type {} from "./meterd-clock-react".

import type { DetailedHTMLProps, HTMLAttributes } from "react";
import type { ClockChangeEvent, ClockProperties, MeterdClock } from "./meterd-clock";

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      "meterd-clock": DetailedHTMLProps<HTMLAttributes<MeterdClock>, MeterdClock> &
        Partial<ClockProperties> & { "onmeterd-change"?: (event: ClockChangeEvent) => void };
    }
  }
}

// <meterd-clock> in templates of Vue 3. Import it once: import type {} from "./meterd-clock-vue".

import type { HTMLAttributes, PublicProps } from "vue";
import type { ClockChangeEvent, ClockProperties } from "./meterd-clock";

declare module "vue" {
  interface GlobalComponents {
    "meterd-clock": new () => {
      $props: HTMLAttributes & PublicProps & Partial<ClockProperties>;
      $emit: (event: "meterd-change", change: ClockChangeEvent) => void;
    };
  }
}

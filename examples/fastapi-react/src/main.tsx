import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { logIn } from "./backend";

const element = document.getElementById("root");
if (!element) throw new Error("the page has no root");
const root = createRoot(element);

try {
  const session = await logIn();
  // Before React draws a clock, so that it finds the properties of the element.
  await import(/* @vite-ignore */ `${session.gateway}/static/meterd-clock.js`);
  root.render(
    <StrictMode>
      <App session={session} />
    </StrictMode>,
  );
} catch (error) {
  root.render(<p role="alert">The page can't start: {String(error)}. README.md says how to start the daemon.</p>);
}

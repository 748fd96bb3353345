/** Start: exchange the token, listen to the server, show the screens. */
import { render } from "preact";
import { exchangeToken, fetchJson, RequestRefused } from "./api/client";
import type { State } from "./api/types";
import { tellFault } from "./parts/notices";
import { Shell } from "./parts/shell";
import { FinishScreen } from "./screens/finish";
import { FramesScreen } from "./screens/frames";
import { ImageScreen } from "./screens/image";
import { LiveScreen } from "./screens/live";
import { OpenScreen } from "./screens/open";
import { ReportScreen } from "./screens/report";
import { RunScreen } from "./screens/run";
import { SkyScreen } from "./screens/sky";
import { listen, refusedEntry, takeEvent } from "./state/app";
import { screen, showScreen } from "./state/view";
import "uplot/dist/uPlot.min.css";
import "./style/main.css";

const SCREENS = {
  open: OpenScreen, frames: FramesScreen, run: RunScreen, live: LiveScreen, image: ImageScreen, finish: FinishScreen, sky: SkyScreen, report: ReportScreen,
};

async function start(): Promise<void> {
  await exchangeToken();
  showScreen(screen.value);
  takeEvent({ type: "state", state: await fetchJson<State>("/api/state") });
  listen();
}

render(<Shell screens={SCREENS} />, document.getElementById("app")!);
start().catch((error: unknown) => {
  if (error instanceof RequestRefused && (error.status === 401 || error.status === 403)) refusedEntry.value = true;
  else {
    tellFault(error);
    listen();
  }
});

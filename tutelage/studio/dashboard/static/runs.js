// The list of runs, live.

import { refresher } from "./parts.js";
import { listen } from "./stream.js";

const refresh = refresher();
listen(["all"], refresh);

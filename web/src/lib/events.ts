/* One event stream for this browser, however many tabs are open: HTTP/1.1 allows six connections.
 * A SharedWorker holds it; where there is none, the tabs elect a leader (core/leader.ts). */
import { LeaderFeed } from "../core/leader";
import type { FeedNote } from "../core/feed";
import { routes } from "../gen/api";

export interface EventSourceLink {
	start(): void;
	stop(): void;
	wake(): void;
}

export function connectEvents(tell: (note: FeedNote) => void): EventSourceLink {
	const url = new URL(routes.team_events.path, location.origin).href;
	const link = typeof SharedWorker === "function" ? overWorker(tell) : new LeaderFeed(url, tell);
	addEventListener("online", () => link.wake());
	document.addEventListener("visibilitychange", () => {
		if (!document.hidden) link.wake();
	});
	return link;
}

function overWorker(tell: (note: FeedNote) => void): EventSourceLink {
	const worker = new SharedWorker(new URL("../events.worker.ts", import.meta.url), { type: "module", name: "tresor-events" });
	const port = worker.port;
	let wanted = false;
	port.onmessage = (e: MessageEvent<FeedNote>) => tell(e.data);
	port.start();
	addEventListener("pagehide", () => port.postMessage("bye"));
	addEventListener("pageshow", (e) => {
		if (!e.persisted) return; /* brought back from the browser's memory */
		port.postMessage("hi");
		if (wanted) port.postMessage("start");
	});
	return {
		start: () => {
			wanted = true;
			port.postMessage("start");
		},
		stop: () => {
			wanted = false;
			port.postMessage("stop");
		},
		wake: () => port.postMessage("wake"),
	};
}

/* The SharedWorker that holds the browser's one event stream and hands each event to every tab. */
import { Feed, type FeedNote } from "./core/feed";
import { routes } from "./gen/api";

interface SharedScope {
	onconnect: ((e: MessageEvent) => void) | null;
	location: Location;
}
const scope = self as unknown as SharedScope;
const ports = new Set<MessagePort>();

const feed = new Feed(new URL(routes.team_events.path, scope.location.origin).href, (note) => {
	for (const port of ports) port.postMessage(note);
});

function greet(port: MessagePort): void {
	ports.add(port);
	port.postMessage({ kind: "state", state: feed.state } satisfies FeedNote);
	if (feed.hello) port.postMessage({ kind: "event", event: feed.hello } satisfies FeedNote);
}

scope.onconnect = (e) => {
	const port = e.ports[0];
	if (!port) return;
	greet(port);
	port.onmessage = (m: MessageEvent<string>) => {
		if (m.data === "start") feed.start();
		else if (m.data === "stop") feed.stop();
		else if (m.data === "wake") feed.wake();
		else if (m.data === "hi") greet(port);
		else if (m.data === "bye") {
			ports.delete(port);
			if (ports.size === 0) feed.stop();
		}
	};
};

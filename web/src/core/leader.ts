/* One event stream for all tabs without a SharedWorker: whoever holds the lock is the leader, reads
 * the stream and repeats it on a BroadcastChannel. When its tab closes the browser gives the lock
 * to the next. Without locks (an old browser) every tab has its own stream. */
import { Feed, type FeedNote, type FeedState } from "./feed";

type Wire = { note: FeedNote } | { ask: true } | { do: "start" | "stop" | "wake" };
export interface LockLike {
	request(name: string, hold: () => Promise<void>): Promise<unknown>;
}
export interface ChannelLike {
	postMessage(m: unknown): void;
	onmessage: ((e: MessageEvent) => void) | null;
}

export class LeaderFeed {
	#feed: Feed;
	#channel: ChannelLike | null;
	#leads = false;
	#wanted = false;
	#state: FeedState = "idle";

	constructor(
		url: string,
		private readonly tell: (note: FeedNote) => void,
		locks: LockLike | undefined = typeof navigator === "undefined" ? undefined : (navigator.locks as LockLike | undefined),
		channel: ChannelLike | null = typeof BroadcastChannel === "function" ? new BroadcastChannel("tresor-events") : null,
		get?: typeof fetch,
	) {
		this.#channel = channel;
		this.#feed = new Feed(url, (note) => this.#fromFeed(note), get);
		if (!locks || !channel) {
			this.#leads = true;
			return;
		}
		channel.onmessage = (e: MessageEvent) => this.#fromChannel(e.data as Wire);
		void locks.request("tresor-events", () => {
			this.#leads = true;
			if (this.#wanted) this.#feed.start();
			return new Promise<void>(() => {}); /* held until the tab goes */
		});
	}

	start(): void {
		this.#wanted = true;
		if (this.#leads) this.#feed.start();
		else {
			this.#send({ do: "start" });
			this.#send({ ask: true });
		}
	}
	stop(): void {
		this.#wanted = false;
		if (this.#leads) this.#feed.stop();
		this.#send({ do: "stop" });
	}
	wake(): void {
		if (this.#leads) this.#feed.wake();
		else this.#send({ do: "wake" });
	}

	#send(m: Wire): void {
		this.#channel?.postMessage(m);
	}

	#fromFeed(note: FeedNote): void {
		this.#send({ note });
		this.tell(note);
	}

	#fromChannel(m: Wire): void {
		if ("note" in m) {
			if (this.#leads) return;
			if (m.note.kind === "state") {
				if (m.note.state === this.#state) return;
				this.#state = m.note.state;
			}
			this.tell(m.note);
			return;
		}
		if ("do" in m && m.do !== "wake") this.#wanted = m.do === "start";
		if (!this.#leads) return;
		if ("ask" in m) {
			this.#send({ note: { kind: "state", state: this.#feed.state } });
			if (this.#feed.hello) this.#send({ note: { kind: "event", event: this.#feed.hello } });
		} else if (m.do === "start") this.#feed.start();
		else if (m.do === "stop") this.#feed.stop();
		else this.#feed.wake();
	}
}

/* The one event stream of this browser: connects, reads, reconnects.
 *
 * States: idle -> connecting -> live -> (lost) waiting -> connecting ...; `ended` after a 401 or a
 * session_ended event. From `ended` and `idle` only start() leads on. A wait doubles from 0.5 s to
 * 15 s and is cut short by wake() (network back, page shown). A stream silent for longer than
 * QUIET_MS is taken for dead: the server sends a comment at least every 15 s. */
import type { Event as ServerEvent } from "../gen/api";
import { SseParser } from "./sse";

export type FeedState = "idle" | "connecting" | "live" | "waiting" | "ended";
export type FeedNote = { kind: "state"; state: FeedState } | { kind: "event"; event: ServerEvent };

const WAIT_MIN_MS = 500;
const WAIT_MAX_MS = 15_000;
const QUIET_MS = 45_000;

export class Feed {
	state: FeedState = "idle";
	hello: ServerEvent | null = null;
	#abort: AbortController | null = null;
	#wait = WAIT_MIN_MS;
	#timer: ReturnType<typeof setTimeout> | undefined;
	#quiet: ReturnType<typeof setTimeout> | undefined;
	#generation = 0;

	constructor(
		private readonly url: string,
		private readonly tell: (note: FeedNote) => void,
		private readonly get: typeof fetch = (...a) => fetch(...a),
	) {}

	start(): void {
		if (this.state === "idle" || this.state === "ended") void this.#connect();
	}

	stop(): void {
		this.#drop();
		this.#set("idle");
	}

	/* Something may have changed (network, page shown): do not wait any longer. */
	wake(): void {
		if (this.state === "waiting") {
			this.#wait = WAIT_MIN_MS;
			void this.#connect();
		}
	}

	#drop(): void {
		this.#generation++;
		clearTimeout(this.#timer);
		clearTimeout(this.#quiet);
		this.#abort?.abort();
		this.#abort = null;
		this.hello = null;
	}

	#set(state: FeedState): void {
		if (this.state === state) return;
		this.state = state;
		this.tell({ kind: "state", state });
	}

	#later(generation: number): void {
		if (generation !== this.#generation) return;
		this.#drop();
		this.#set("waiting");
		const jitter = 0.75 + Math.random() / 2; /* a restarted server is not asked by all at once */
		this.#timer = setTimeout(() => void this.#connect(), this.#wait * jitter);
		this.#wait = Math.min(this.#wait * 2, WAIT_MAX_MS);
	}

	async #connect(): Promise<void> {
		this.#drop();
		const generation = this.#generation;
		const abort = new AbortController();
		this.#abort = abort;
		this.#set("connecting");
		try {
			const reply = await this.get(this.url, {
				headers: { Accept: "text/event-stream" },
				credentials: "same-origin",
				cache: "no-store",
				signal: abort.signal,
			});
			if (generation !== this.#generation) return;
			if (reply.status === 401 || reply.status === 403) {
				this.#drop();
				this.#set("ended");
				return;
			}
			if (!reply.ok || !reply.body) throw new Error(`status ${reply.status}`);
			await this.#read(reply.body, generation);
		} catch {
			/* lost or refused: both mean trying again later */
		}
		this.#later(generation);
	}

	async #read(body: ReadableStream<Uint8Array>, generation: number): Promise<void> {
		const parser = new SseParser();
		const utf8 = new TextDecoder();
		const reader = body.getReader();
		for (;;) {
			clearTimeout(this.#quiet);
			this.#quiet = setTimeout(() => this.#later(generation), QUIET_MS);
			const { done, value } = await reader.read();
			if (done || generation !== this.#generation) return;
			for (const e of parser.push(utf8.decode(value, { stream: true }))) {
				this.#take(e.data);
				if (generation !== this.#generation) return;
			}
		}
	}

	#take(data: string): void {
		let event: ServerEvent;
		try {
			event = JSON.parse(data) as ServerEvent;
		} catch {
			return; /* not ours: ignore, the next one may be */
		}
		if (typeof event !== "object" || event === null || typeof event.type !== "string") return;
		if (event.type === "hello") {
			this.hello = event;
			this.#wait = WAIT_MIN_MS;
			this.#set("live");
		}
		this.tell({ kind: "event", event });
		if (event.type === "session_ended") {
			this.#drop();
			this.#set("ended");
		}
	}
}

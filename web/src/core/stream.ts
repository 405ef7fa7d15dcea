/* How an answer grows on the page.
 *
 * The server owns the text; the page holds a copy and follows it by deltas. Invariants:
 *  - `content` is always a prefix of what the server has, or the whole of it;
 *  - a delta is applied only where it fits (offset == length, both in UTF-16 code units); an older
 *    one is dropped; one beyond the end, or one that contradicts the copy, is a gap: the message is
 *    fetched whole, deltas that come meanwhile wait, and what fits afterwards is applied;
 *  - a finished message changes only by `message` (whole) or `rewind`.
 * Pure: no network and no DOM; the owner hands in `fetchMessage` and hears `changed`. */
import type { Event as ServerEvent, Message } from "../gen/api";

export interface Delta {
	offset: number;
	text: string;
	thinking: boolean;
}
export interface Live {
	message: Message; /* content and thinking are kept current */
	epoch: number; /* rises when text was taken back or replaced: the view starts afresh */
	queue: { position: number; loading: boolean } | null;
}
export type Fit = "fits" | "old" | "gap";

/* Where does a delta stand against the text we have? `rest` is what is new in it. */
export function fit(have: string, offset: number, text: string): { fit: Fit; rest: string } {
	if (offset > have.length) return { fit: "gap", rest: "" };
	if (offset === have.length) return { fit: "fits", rest: text };
	const overlap = have.slice(offset, offset + text.length);
	if (!text.startsWith(overlap)) return { fit: "gap", rest: "" };
	const rest = text.slice(overlap.length);
	return { fit: rest === "" ? "old" : "fits", rest };
}

const WAITING_MAX = 10_000; /* deltas; beyond it the fetch has to be repeated anyway */

export class StreamStore {
	readonly live = new Map<string, Live>();
	#fetching = new Map<string, Delta[]>();

	constructor(
		private readonly fetchMessage: (id: string) => Promise<Message>,
		private readonly changed: (id: string) => void,
	) {}

	/* The server's whole message: replaces what is here unless ours is longer and still growing. */
	put(message: Message): Live {
		const had = this.live.get(message.id);
		if (!had) {
			const made: Live = { message: { ...message }, epoch: 0, queue: null };
			this.live.set(message.id, made);
			this.changed(message.id);
			return made;
		}
		const old = had.message;
		const ahead = message.state === "streaming" && old.state === "streaming" && old.content.length > message.content.length && old.content.startsWith(message.content);
		if (!ahead) {
			if (!message.content.startsWith(old.content)) had.epoch++;
			had.message = { ...message };
			if (message.state !== "streaming" || message.content !== "") had.queue = null;
		}
		this.changed(message.id);
		return had;
	}

	forget(ids: Iterable<string>): void {
		for (const id of ids) {
			this.live.delete(id);
			this.#fetching.delete(id);
		}
	}

	/* Feeds one event; those that are not about a known message are ignored. */
	apply(event: ServerEvent): void {
		if (event.type === "message") {
			if (this.live.has(event.message.id)) this.put(event.message);
		} else if (event.type === "delta") {
			this.#delta(event.message, event);
		} else if (event.type === "rewind") {
			this.#rewind(event.message, event.offset);
		} else if (event.type === "queue") {
			const l = this.live.get(event.message);
			if (!l) return;
			l.queue = { position: event.position, loading: event.loading };
			this.changed(event.message);
		}
	}

	/* After a lost connection: everything that may have moved on is read again. */
	refreshStreaming(): void {
		for (const [id, l] of this.live) if (l.message.state === "streaming") this.#refetch(id);
	}

	#delta(id: string, d: Delta): void {
		const l = this.live.get(id);
		if (!l) return;
		const waiting = this.#fetching.get(id);
		if (waiting) {
			if (waiting.length < WAITING_MAX) waiting.push(d);
			return;
		}
		if (this.#fits(l, d)) this.changed(id);
		else this.#refetch(id, d);
	}

	/* Applies a delta if it can; false is a gap. */
	#fits(l: Live, d: Delta): boolean {
		const field = d.thinking ? "thinking" : "content";
		const r = fit(l.message[field], d.offset, d.text);
		if (r.fit === "gap") return false;
		if (r.fit === "fits" && l.message.state === "streaming") {
			l.message[field] += r.rest;
			l.queue = null;
		}
		return true;
	}

	#rewind(id: string, offset: number): void {
		const l = this.live.get(id);
		if (!l) return;
		if (offset > l.message.content.length) {
			this.#refetch(id);
			return;
		}
		l.message.content = l.message.content.slice(0, offset);
		l.message.state = "streaming";
		l.epoch++;
		this.changed(id);
	}

	#refetch(id: string, first?: Delta): void {
		if (this.#fetching.has(id)) return;
		this.#fetching.set(id, first ? [first] : []);
		void this.#fetchOnce(id);
	}

	async #fetchOnce(id: string): Promise<void> {
		let message: Message | null = null;
		try {
			message = await this.fetchMessage(id);
		} catch {
			/* offline, or gone: the next event or reconnect tries again */
		}
		const waiting = this.#fetching.get(id) ?? [];
		this.#fetching.delete(id);
		const l = this.live.get(id);
		if (!message || !l) return;
		if (!message.content.startsWith(l.message.content)) l.epoch++;
		l.message = { ...message };
		for (const d of waiting) if (!this.#fits(l, d)) break; /* the next delta asks again */
		this.changed(id);
	}
}

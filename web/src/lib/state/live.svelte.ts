/* Wires the browser's one event stream to whoever shows something of it. */
import type { FeedNote, FeedState } from "../../core/feed";
import { connectEvents, type EventSourceLink } from "../events";
import { chats } from "./chats.svelte";
import { models } from "./models.svelte";
import { session } from "./session.svelte";

class LiveLink {
	state = $state<FeedState>("idle");
	#link: EventSourceLink | null = null;
	#greeted = false; /* the first hello finds fresh data; each later one means something was missed */

	begin(): void {
		session.onIn = () => {
			this.#greeted = false;
			this.#link ??= connectEvents((n) => this.#note(n));
			this.#link.start();
			void chats.load();
			void models.load().catch(() => {});
		};
		session.onOut = () => {
			this.#link?.stop();
			chats.clear();
			models.clear();
		};
	}

	#note(note: FeedNote): void {
		if (note.kind === "state") {
			this.state = note.state;
			if (note.state === "ended" && session.phase === "in") void session.load(); /* really ended? */
			return;
		}
		if (session.phase !== "in") return;
		const event = note.event;
		if (event.type === "session_ended") session.end();
		else if (event.type === "hello") this.#hello();
		else {
			chats.apply(event);
			models.apply(event);
		}
	}

	#hello(): void {
		this.state = "live";
		if (this.#greeted) {
			chats.refresh();
			void models.load().catch(() => {});
		} else {
			this.#greeted = true;
			chats.open?.refresh(); /* it may have been read before the stream was there */
		}
	}
}

export const live = new LiveLink();

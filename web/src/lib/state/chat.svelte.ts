/* One open conversation: its messages, the path shown, sending, stopping, trying again.
 *
 * The rules of growing text are core/stream.ts; here they meet the network and the screen. Changes
 * reach the screen at most once a frame. While a question is being sent, events of this
 * conversation wait until its reply is here: otherwise the question would stand there twice. */
import { SvelteMap } from "svelte/reactivity";
import { type Attached, picturesOf } from "../../core/pictures";
import { type Live, StreamStore } from "../../core/stream";
import { branchOf, path, type Step } from "../../core/tree";
import type { Conversation, Event as ServerEvent, Message } from "../../gen/api";
import { ApiError, call } from "../client";

export interface Pending {
	clientId: string;
	parent: string | undefined;
	content: string;
	pictures: readonly Attached[];
	error: ApiError | null;
}

/* A question that is not sent yet. */
export interface Draft {
	text: string;
	pictures: readonly Attached[];
}

export function newClientId(): string {
	const b = crypto.getRandomValues(new Uint8Array(16));
	return [...b].map((x) => x.toString(16).padStart(2, "0")).join("");
}

export class Chat {
	state = $state<"loading" | "ready" | "missing" | "failed">("loading");
	error = $state.raw<unknown>(null);
	pending = $state.raw<Pending | null>(null);
	stopping = $state(false);
	readonly shown = new SvelteMap<string, Live>();
	choice = new SvelteMap<string, string>(); /* parent -> chosen branch */
	wanted = $state(""); /* a message that is to be brought into view; the list takes it */
	#structure = $state.raw<Message[]>([]); /* ids and parents; texts are in `shown` */
	#held: ServerEvent[] | null = null;
	#dirty = new Set<string>();
	#scheduled = false;
	#store = new StreamStore(
		(id) => call("team_message", { params: { id } }),
		(id) => this.#touch(id),
	);
	steps: Step[] = $derived(path(this.#structure, this.choice));

	constructor(readonly id: string) {}

	get last(): Live | undefined {
		const step = this.steps[this.steps.length - 1];
		return step && this.shown.get(step.message.id);
	}
	get streaming(): Live | undefined {
		return this.last?.message.state === "streaming" ? this.last : undefined;
	}

	async load(): Promise<Conversation | null> {
		try {
			const r = await call("team_conversation", { params: { id: this.id } });
			for (const m of r.messages) this.#put(m);
			if (this.wanted !== "") this.#choose(this.wanted);
			this.state = "ready";
			return r.conversation;
		} catch (e) {
			this.error = e;
			if (this.state === "loading") this.state = e instanceof ApiError && (e.status === 404 || e.status === 403) ? "missing" : "failed";
			return null;
		}
	}

	/* Brings a message into view, on whichever branch it is. */
	reveal(id: string): void {
		this.wanted = id;
		if (this.state === "ready") this.#choose(id);
	}

	#choose(id: string): void {
		const chosen = branchOf(this.#structure, id);
		for (const [parent, child] of chosen) this.choice.set(parent, child);
		if (chosen.size === 0) this.wanted = "";
	}

	#put(m: Message): void {
		this.#store.put(m);
		if (!this.#structure.some((x) => x.id === m.id)) this.#structure = [...this.#structure, m];
		this.#flush();
	}

	#touch(id: string): void {
		this.#dirty.add(id);
		if (this.#scheduled) return;
		this.#scheduled = true;
		const run = () => this.#flush();
		if (document.hidden) setTimeout(run, 200);
		else requestAnimationFrame(run);
	}

	#flush(): void {
		this.#scheduled = false;
		for (const id of this.#dirty) {
			const l = this.#store.live.get(id);
			if (l) this.shown.set(id, { ...l, message: { ...l.message } });
		}
		this.#dirty.clear();
	}

	apply(event: ServerEvent): void {
		if (!("conversation" in event) || event.conversation !== this.id) return;
		if (this.#held) {
			this.#held.push(event);
			return;
		}
		if (event.type === "message") {
			this.#put(event.message);
			if (event.message.state !== "streaming") this.stopping = false;
		} else if ((event.type === "delta" || event.type === "queue") && !this.#store.live.has(event.message)) {
			if (this.state === "ready") void this.load(); /* its beginning was missed */
		} else this.#store.apply(event);
	}

	/* The stream was lost for a while: read what may have changed. */
	refresh(): void {
		if (this.state !== "loading") void this.load().then(() => this.#store.refreshStreaming());
	}

	/* `parent` undefined: after the last message shown; "root": another first question. */
	async send(content: string, pictures: readonly Attached[] = [], parent?: string): Promise<boolean> {
		const after = parent ?? this.steps[this.steps.length - 1]?.message.id;
		this.pending = { clientId: newClientId(), parent: after, content, pictures, error: null };
		return this.#post();
	}

	async sendAgain(): Promise<boolean> {
		if (!this.pending) return false;
		this.pending = { ...this.pending, error: null };
		return this.#post();
	}

	async #post(): Promise<boolean> {
		const p = this.pending;
		if (!p) return false;
		this.#held = [];
		try {
			const r = await call("team_message_new", {
				params: { id: this.id },
				body: {
					content: p.content,
					client_id: p.clientId,
					...(p.parent !== undefined ? { parent: p.parent } : {}),
					...(p.pictures.length > 0 ? { pictures: p.pictures.map((x) => x.ref) } : {}),
				},
			});
			this.pending = null;
			this.choice.set(r.message.parent ?? "", r.message.id);
			this.#put(r.message);
			this.#put(r.answer);
			return true;
		} catch (e) {
			this.pending = { ...p, error: e instanceof ApiError ? e : new ApiError("internal", 0, String(e)) };
			return false;
		} finally {
			const held = this.#held ?? [];
			this.#held = null;
			for (const event of held) this.apply(event);
		}
	}

	/* Takes back a question that was never stored, and gives what it was for another try. */
	withdraw(): Draft {
		const { content: text = "", pictures = [] } = this.pending ?? {};
		this.pending = null;
		return { text, pictures };
	}

	async stop(): Promise<void> {
		const l = this.streaming;
		if (!l || this.stopping) return;
		this.stopping = true;
		try {
			this.#put(await call("team_message_stop", { params: { id: l.message.id } }));
		} finally {
			this.stopping = false;
		}
	}

	/* The same question again, as another branch: nothing is overwritten. */
	async again(answerId: string): Promise<boolean> {
		const answer = this.shown.get(answerId)?.message;
		const question = answer?.parent ? this.shown.get(answer.parent)?.message : undefined;
		return question ? this.edit(question.id, question.content) : false;
	}

	/* Its pictures go along. */
	async edit(questionId: string, content: string): Promise<boolean> {
		const question = this.shown.get(questionId)?.message;
		return this.send(content, question ? picturesOf(question) : [], question?.parent ?? "root");
	}

	branch(step: Step, by: number): void {
		const to = step.siblings[step.index + by];
		if (to === undefined) return;
		const parent = this.#structure.find((m) => m.id === to)?.parent;
		this.choice.set(parent != null && this.shown.has(parent) ? parent : "", to);
	}
}

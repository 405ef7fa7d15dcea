/* The list of conversations, and which of them is open. */
import type { Conversation, Event as ServerEvent } from "../../gen/api";
import { call } from "../client";
import { router } from "../router.svelte";
import type { Attached } from "../../core/pictures";
import { Chat, type Draft } from "./chat.svelte";

const PAGE = 60;

class Chats {
	list = $state.raw<Conversation[]>([]);
	loaded = $state(false);
	failed = $state(false);
	open = $state.raw<Chat | null>(null);
	unread = $state.raw<ReadonlySet<string>>(new Set()); /* finished while another one was open */
	drafts = new Map<string, Draft>(); /* in memory only: a draft is as private as a message */
	#next = $state<string | undefined>(undefined);
	#loading = false;

	get more(): boolean {
		return this.#next !== undefined && this.#next !== "";
	}

	async load(): Promise<void> {
		try {
			const r = await call("team_conversations", { query: { limit: PAGE } });
			this.list = r.conversations;
			this.#next = r.next;
			this.failed = false;
		} catch {
			this.failed = true;
		}
		this.loaded = true;
	}

	async loadMore(): Promise<void> {
		if (!this.more || this.#loading || this.#next === undefined) return;
		this.#loading = true;
		try {
			const r = await call("team_conversations", { query: { before: this.#next, limit: PAGE } });
			const known = new Set(this.list.map((c) => c.id));
			this.list = [...this.list, ...r.conversations.filter((c) => !known.has(c.id))];
			this.#next = r.next;
		} catch {
			/* scrolling again asks again */
		}
		this.#loading = false;
	}

	find(id: string): Conversation | undefined {
		return this.list.find((c) => c.id === id);
	}

	put(c: Conversation): void {
		const rest = this.list.filter((x) => x.id !== c.id);
		const at = rest.findIndex((x) => x.changed_ms <= c.changed_ms);
		this.list = at < 0 ? [...rest, c] : [...rest.slice(0, at), c, ...rest.slice(at)];
	}

	#remove(id: string): void {
		this.list = this.list.filter((c) => c.id !== id);
		this.drafts.delete(id);
		if (this.open?.id === id) {
			this.open = null;
			router.go("/", true);
		}
	}

	/* Called when the address says which conversation is shown. */
	show(id: string | null, message = ""): void {
		if (id === (this.open?.id ?? null)) {
			if (message !== "") this.open?.reveal(message);
			return;
		}
		if (id === null) {
			this.open = null;
			return;
		}
		const chat = new Chat(id);
		if (message !== "") chat.reveal(message);
		this.open = chat;
		if (this.unread.has(id)) this.unread = new Set([...this.unread].filter((x) => x !== id));
		void chat.load().then((c) => c && this.put(c));
	}

	/* A new conversation with its first question. */
	async begin(content: string, pictures: readonly Attached[], model: string): Promise<void> {
		const c = await call("team_conversation_new", { body: { model } });
		this.put(c);
		const chat = new Chat(c.id);
		chat.state = "ready";
		this.open = chat;
		router.go(`/c/${c.id}`);
		await chat.send(content, pictures);
	}

	async rename(id: string, title: string): Promise<void> {
		this.put(await call("team_conversation_change", { params: { id }, body: { title } }));
	}
	async setModel(id: string, model: string): Promise<void> {
		this.put(await call("team_conversation_change", { params: { id }, body: { model } }));
	}
	async remove(id: string): Promise<void> {
		await call("team_conversation_delete", { params: { id } });
		this.#remove(id);
	}

	apply(event: ServerEvent): void {
		if (event.type === "conversation") {
			const c = event.conversation;
			const was = this.find(c.id);
			if (was?.generating && !c.generating && this.open?.id !== c.id) this.unread = new Set([...this.unread, c.id]);
			this.put(c);
		} else if (event.type === "conversation_deleted") this.#remove(event.id);
		else this.open?.apply(event);
	}

	refresh(): void {
		void this.load();
		this.open?.refresh();
	}

	clear(): void {
		this.list = [];
		this.open = null;
		this.loaded = false;
		this.unread = new Set();
		this.drafts.clear();
	}
}

export const chats = new Chats();

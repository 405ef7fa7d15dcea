import { expect, test } from "vitest";
import type { FeedNote } from "./feed";
import { type ChannelLike, LeaderFeed, type LockLike } from "./leader";

/* One browser: a lock that is handed on, a channel that reaches every other tab. */
function browser() {
	const queue: Array<() => Promise<void>> = [];
	const channels: ChannelLike[] = [];
	let streams = 0;
	const open: ReadableStreamDefaultController<Uint8Array>[] = [];
	const get = (async () => {
		streams++;
		const body = new ReadableStream<Uint8Array>({ start: (c) => void open.push(c) });
		return { ok: true, status: 200, body } as unknown as Response;
	}) as unknown as typeof fetch;
	const locks: LockLike = {
		request: async (_name, hold) => {
			queue.push(hold);
			if (queue.length === 1) void hold();
		},
	};
	const tab = () => {
		const notes: FeedNote[] = [];
		const channel: ChannelLike = {
			onmessage: null,
			postMessage: (data) => {
				for (const c of channels) if (c !== channel) c.onmessage?.({ data } as MessageEvent);
			},
		};
		channels.push(channel);
		const feed = new LeaderFeed("/e", (n) => notes.push(n), locks, channel, get);
		const events = () => notes.filter((n) => n.kind === "event").map((n) => n.kind === "event" && n.event.type);
		return { feed, notes, events, close: () => channels.splice(channels.indexOf(channel), 1) };
	};
	const send = async (text: string) => {
		open[open.length - 1]?.enqueue(new TextEncoder().encode(text));
		for (let i = 0; i < 20; i++) await Promise.resolve();
	};
	const settle = async () => {
		for (let i = 0; i < 20; i++) await Promise.resolve();
	};
	return { tab, send, settle, streams: () => streams, handOn: () => {
		queue.shift();
		void queue[0]?.();
	} };
}

test("many tabs share one stream, and a late one learns where things stand", async () => {
	const b = browser();
	const tabs = Array.from({ length: 12 }, () => b.tab());
	for (const t of tabs) t.feed.start();
	await b.settle();
	await b.send('data: {"type":"hello","server_start_ms":1}\n\ndata: {"type":"models"}\n\n');
	expect(b.streams()).toBe(1);
	for (const t of tabs) expect(t.events()).toEqual(["hello", "models"]);
	const late = b.tab();
	late.feed.start();
	expect(late.events()).toEqual(["hello"]);
});

test("when the leader goes, the next one reads", async () => {
	const b = browser();
	const [one, two] = [b.tab(), b.tab()];
	one.feed.start();
	two.feed.start();
	await b.settle();
	one.close();
	b.handOn();
	await b.settle();
	await b.send('data: {"type":"hello","server_start_ms":2}\n\n');
	expect(b.streams()).toBe(2);
	expect(two.events()).toEqual(["hello"]);
});

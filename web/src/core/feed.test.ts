import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Feed, type FeedNote } from "./feed";

function streamReply() {
	let control: ReadableStreamDefaultController<Uint8Array> | undefined;
	const body = new ReadableStream<Uint8Array>({ start: (c) => void (control = c) });
	const utf8 = new TextEncoder();
	return {
		reply: { ok: true, status: 200, body } as unknown as Response,
		send: (text: string) => control?.enqueue(utf8.encode(text)),
		end: () => control?.close(),
	};
}
const HELLO = 'data: {"type":"hello","server_start_ms":1}\n\n';
const settle = async () => {
	for (let i = 0; i < 20; i++) await Promise.resolve();
};

describe("Feed", () => {
	beforeEach(() => void vi.useFakeTimers());
	afterEach(() => void vi.useRealTimers());

	test("is live after hello, passes events on, reconnects when the stream ends", async () => {
		const notes: FeedNote[] = [];
		const streams = [streamReply(), streamReply()];
		let calls = 0;
		const feed = new Feed("/e", (n) => notes.push(n), async () => {
			const s = streams[calls++];
			if (!s) throw new Error("no more");
			return s.reply;
		});
		feed.start();
		await settle();
		streams[0]?.send(HELLO + 'data: {"type":"models"}\n\ndata: nonsense\n\n');
		await settle();
		expect(feed.state).toBe("live");
		expect(notes.filter((n) => n.kind === "event")).toHaveLength(2);
		streams[0]?.end();
		await settle();
		expect(feed.state).toBe("waiting");
		await vi.advanceTimersByTimeAsync(1000);
		streams[1]?.send(HELLO);
		await settle();
		expect(feed.state).toBe("live");
		expect(calls).toBe(2);
	});

	test("ends on 401 and on session_ended, and does not come back by itself", async () => {
		const get = vi.fn(async () => ({ ok: false, status: 401, body: null }) as unknown as Response);
		const feed = new Feed("/e", () => {}, get);
		feed.start();
		await settle();
		expect(feed.state).toBe("ended");
		await vi.advanceTimersByTimeAsync(120_000);
		expect(get).toHaveBeenCalledTimes(1);

		const s = streamReply();
		const second = new Feed("/e", () => {}, async () => s.reply);
		second.start();
		await settle();
		s.send(HELLO + 'data: {"type":"session_ended"}\n\n');
		await settle();
		expect(second.state).toBe("ended");
	});

	test("waits longer each time, and wake() asks at once", async () => {
		const get = vi.fn(async () => {
			throw new Error("down");
		});
		const feed = new Feed("/e", () => {}, get as unknown as typeof fetch);
		feed.start();
		await vi.advanceTimersByTimeAsync(60_000);
		const tried = get.mock.calls.length;
		expect(tried).toBeGreaterThan(4);
		expect(tried).toBeLessThan(14);
		feed.wake();
		await settle();
		expect(get.mock.calls.length).toBe(tried + 1);
	});

	test("takes a silent stream for dead", async () => {
		const streams = [streamReply(), streamReply()];
		let calls = 0;
		const feed = new Feed("/e", () => {}, async () => (streams[calls++] ?? streamReply()).reply);
		feed.start();
		await settle();
		streams[0]?.send(HELLO);
		await settle();
		await vi.advanceTimersByTimeAsync(44_000);
		expect(feed.state).toBe("live");
		await vi.advanceTimersByTimeAsync(2_500);
		expect(calls).toBe(2);
	});
});

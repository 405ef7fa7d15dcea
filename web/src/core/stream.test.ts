import { describe, expect, test } from "vitest";
import type { Message } from "../gen/api";
import { fit, StreamStore } from "./stream";

function answer(content = "", state: Message["state"] = "streaming"): Message {
	return { id: "m", parent: null, role: "assistant", content, thinking: "", state, label: 1, created_ms: 0 };
}
function rig(server: { text: string; state?: Message["state"] }) {
	let fetched = 0;
	let hold: (() => void) | null = null;
	const store = new StreamStore(
		async () => {
			fetched++;
			await new Promise<void>((r) => (hold = r));
			return answer(server.text, server.state);
		},
		() => {},
	);
	const delta = (offset: number, text: string, thinking = false) =>
		store.apply({ type: "delta", conversation: "c", message: "m", offset, text, thinking });
	const release = async () => {
		hold?.();
		for (let i = 0; i < 5; i++) await Promise.resolve();
	};
	return { store, delta, release, fetched: () => fetched, text: () => store.live.get("m")?.message.content };
}

describe("fit", () => {
	test("knows what fits, what is old, what overlaps, what contradicts", () => {
		expect(fit("abc", 3, "de")).toEqual({ fit: "fits", rest: "de" });
		expect(fit("abc", 1, "bc")).toEqual({ fit: "old", rest: "" });
		expect(fit("abc", 2, "cde")).toEqual({ fit: "fits", rest: "de" });
		expect(fit("abc", 4, "x").fit).toBe("gap");
		expect(fit("abc", 1, "x").fit).toBe("gap");
	});
	test("counts UTF-16 code units: one emoji is two", () => {
		expect(fit("ä😀", 3, "!")).toEqual({ fit: "fits", rest: "!" });
		expect(fit("ä😀", 4, "!").fit).toBe("gap");
	});
});

describe("StreamStore", () => {
	test("grows by deltas and ignores repeated ones", () => {
		const r = rig({ text: "" });
		r.store.put(answer());
		r.delta(0, "Hal");
		r.delta(3, "lo");
		r.delta(3, "lo");
		r.delta(0, "Hallo!");
		expect(r.text()).toBe("Hallo!");
		expect(r.fetched()).toBe(0);
	});

	test("a gap fetches once; what came meanwhile is applied after it", async () => {
		const r = rig({ text: "0123456" });
		r.store.put(answer("01"));
		r.delta(4, "45");
		r.delta(6, "6");
		r.delta(7, "78");
		expect(r.text()).toBe("01");
		await r.release();
		expect(r.text()).toBe("012345678");
		expect(r.fetched()).toBe(1);
		r.delta(9, "9");
		expect(r.text()).toBe("0123456789");
	});

	test("a fetch that is still behind leads to another one, never to a hole", async () => {
		const server = { text: "012" };
		const r = rig(server);
		r.store.put(answer("0"));
		r.delta(5, "5");
		await r.release();
		expect(r.text()).toBe("012");
		server.text = "0123456";
		r.delta(6, "6");
		await r.release();
		expect(r.text()).toBe("0123456");
		expect(r.fetched()).toBe(2);
	});

	test("rewind cuts and starts a new epoch; the text may grow differently", () => {
		const r = rig({ text: "" });
		r.store.put(answer("one two three"));
		r.store.apply({ type: "rewind", conversation: "c", message: "m", offset: 4 });
		r.delta(4, "TWO");
		expect(r.text()).toBe("one TWO");
		expect(r.store.live.get("m")?.epoch).toBe(1);
	});

	test("a finished message takes no deltas; a whole one replaces it", () => {
		const r = rig({ text: "" });
		r.store.put(answer("ab"));
		r.store.apply({ type: "message", conversation: "c", message: answer("abc", "done") });
		r.delta(3, "d");
		expect(r.text()).toBe("abc");
		expect(r.store.live.get("m")?.epoch).toBe(0);
	});

	test("an older whole message does not take text away that is ahead of it", () => {
		const r = rig({ text: "" });
		r.store.put(answer("abc"));
		r.store.put(answer("ab"));
		expect(r.text()).toBe("abc");
		r.store.put(answer("xy"));
		expect(r.text()).toBe("xy");
	});

	test("thinking has its own offsets", () => {
		const r = rig({ text: "" });
		r.store.put(answer());
		r.delta(0, "hm", true);
		r.delta(0, "So", false);
		r.delta(2, "m", true);
		expect(r.store.live.get("m")?.message.thinking).toBe("hmm");
		expect(r.text()).toBe("So");
	});

	test("after a reconnect every streaming message is read again", async () => {
		const r = rig({ text: "all of it", state: "done" });
		r.store.put(answer("all"));
		r.store.refreshStreaming();
		await r.release();
		expect(r.store.live.get("m")?.message.state).toBe("done");
		expect(r.text()).toBe("all of it");
	});

	test("deltas for messages nobody asked for are ignored", () => {
		const r = rig({ text: "" });
		r.delta(0, "x");
		expect(r.store.live.size).toBe(0);
		expect(r.fetched()).toBe(0);
	});
});

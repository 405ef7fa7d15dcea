import { describe, expect, test } from "vitest";
import { SseParser } from "./sse";

const WIRE = ': hi\n\ndata: {"a":1}\n\nevent: x\r\ndata: one\r\ndata: two\r\n\r\ndata\n\ndata:  y\rid: 7\r\rdata: half';

describe("SseParser", () => {
	test("reads comments, events, joined data lines, all three line ends", () => {
		const events = new SseParser().push(WIRE);
		expect(events.map((e) => [e.event, e.data])).toEqual([
			["message", '{"a":1}'],
			["x", "one\ntwo"],
			["message", ""],
			["message", " y"],
		]);
		expect(events[3]?.id).toBe("7");
	});

	test("gives the same events however the bytes are cut", () => {
		const whole = new SseParser().push(WIRE);
		for (let cut = 1; cut < WIRE.length; cut++) {
			const p = new SseParser();
			expect([...p.push(WIRE.slice(0, cut)), ...p.push(WIRE.slice(cut))]).toEqual(whole);
		}
		const p = new SseParser();
		expect([...WIRE].flatMap((c) => p.push(c))).toEqual(whole);
	});

	test("drops a byte order mark and an event that never ended", () => {
		expect(new SseParser().push("\ufeffdata: x\n\ndata: y\n")).toEqual([{ event: "message", data: "x", id: "" }]);
	});
});

import { expect, test } from "vitest";
import type { Fleet } from "../gen/api";
import { cacheShare, memoryParts } from "./load";

function fleet(memory: number, free: number, models: Array<{ name: string; resident_bytes: number; state?: string; processor?: string }>): Fleet {
	return { machine: { memory, memory_free: free }, models: models.map((m) => ({ state: "ready", processor: "cpu", model_bytes: 1, kv_bytes: 2, ...m })) } as unknown as Fleet;
}

test("the parts of memory add up to the whole", () => {
	const parts = memoryParts(fleet(100, 50, [{ name: "b", resident_bytes: 20 }, { name: "a", resident_bytes: 10 }, { name: "off", resident_bytes: 40, state: "unloaded" }]));
	expect(parts.map((p) => [p.kind, p.name, p.bytes])).toEqual([["model", "a", 10], ["model", "b", 20], ["other", "", 20], ["free", "", 50]]);
	expect(parts.reduce((n, p) => n + p.share, 0)).toBeCloseTo(1);
	expect(parts.map((p) => p.from)).toEqual([0, 0.1, 0.30000000000000004, 0.5]);
});

test("mapped files that the kernel calls free are drawn once", () => {
	const parts = memoryParts(fleet(100, 95, [{ name: "a", resident_bytes: 30 }]));
	expect(parts.map((p) => [p.kind, p.bytes])).toEqual([["model", 30], ["free", 70]]);
});

test("a model that was not measured yet counts as what it said, one on the card not at all", () => {
	expect(memoryParts(fleet(100, 97, [{ name: "a", resident_bytes: 0 }, { name: "g", resident_bytes: 9, processor: "gpu" }]))[0]?.bytes).toBe(3);
});

test("the cache's share", () => {
	expect(cacheShare({ tokens_in: 0, tokens_cached: 0 })).toBeNull();
	expect(cacheShare({ tokens_in: 25, tokens_cached: 75 })).toBe(0.75);
});

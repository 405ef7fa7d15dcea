import { expect, test } from "vitest";
import { Pace } from "./pace";

test("speed and time left come from the last seconds, not from the whole", () => {
	const p = new Pace();
	for (let s = 0; s <= 20; s++) p.add(s * 1000, s * 1_000_000); /* 1 MB/s */
	expect(p.perSecond).toBeCloseTo(1_000_000);
	for (let s = 1; s <= 30; s++) p.add((20 + s) * 1000, 20_000_000 + s * 4_000_000);
	expect(p.perSecond).toBeCloseTo(4_000_000);
	expect(p.secondsLeft(140_000_000 + 40_000_000)).toBeCloseTo(10);
});

test("nobody can tell at the beginning, after a stall, or beyond the end", () => {
	const p = new Pace();
	expect(p.perSecond).toBeNull();
	p.add(0, 0);
	p.add(1000, 500);
	expect(p.perSecond).toBeNull();
	p.add(2000, 500);
	expect(p.perSecond).toBe(250);
	for (let s = 3; s <= 40; s++) p.add(s * 1000, 500);
	expect(p.perSecond).toBe(0);
	expect(p.secondsLeft(1000)).toBeNull();
	expect(p.secondsLeft(100)).toBeNull();
});

test("what begins anew is measured anew", () => {
	const p = new Pace();
	p.add(0, 0);
	p.add(5000, 5_000_000);
	p.add(6000, 0);
	expect(p.perSecond).toBeNull();
	p.add(8000, 4_000_000);
	expect(p.perSecond).toBe(2_000_000);
});

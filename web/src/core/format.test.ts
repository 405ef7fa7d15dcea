import { expect, test } from "vitest";
import { bytes, dateGroup, groupByDate, initials, seconds } from "./format";

test("sizes and times in both languages", () => {
	expect(bytes(92_000_000, "en")).toBe("92\u00a0MB");
	expect(bytes(4_683_000_000, "de")).toBe("4,7\u00a0GB");
	expect(bytes(0, "en")).toBe("0\u00a0B");
	expect(bytes(999_600, "en")).toBe("1\u00a0MB");
	expect(seconds(43, "de")).toBe("43\u00a0ms");
	expect(seconds(2345, "de")).toBe("2,3\u00a0s");
});
test("dates fall under the heading a person would expect", () => {
	const now = new Date(2026, 2, 1, 0, 30).getTime();
	const at = (y: number, m: number, d: number, h = 12) => dateGroup(new Date(y, m, d, h).getTime(), now).kind;
	expect(at(2026, 2, 1, 0)).toBe("today");
	expect(at(2026, 1, 28, 23)).toBe("yesterday");
	expect(at(2026, 1, 22)).toBe("week");
	expect(at(2026, 1, 21)).toBe("month");
	expect(at(2026, 0, 15)).toBe("named");
	expect(at(2026, 2, 2)).toBe("today"); /* a clock that is ahead */
});
test("groups keep the order", () => {
	const now = new Date(2026, 5, 15, 12).getTime();
	const day = 86_400_000;
	const g = groupByDate([now, now - 1, now - day, now - 100 * day, now - 101 * day], (x) => x, now);
	expect(g.map((x) => [x.group.kind, x.items.length])).toEqual([["today", 2], ["yesterday", 1], ["named", 2]]);
});
test("initials", () => {
	expect(initials("Ada Lovelace")).toBe("AL");
	expect(initials("änne@example.org")).toBe("ÄO");
	expect(initials("")).toBe("?");
});

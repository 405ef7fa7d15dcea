import { expect, test } from "vitest";
import type { Message } from "../gen/api";
import { path } from "./tree";

const m = (id: string, parent: string | null, at: number): Message => ({
	id, parent, role: "user", content: id, thinking: "", state: "done", label: 1, created_ms: at,
});
const ids = (messages: Message[], choice: [string, string][] = []) => path(messages, new Map(choice)).map((s) => s.message.id);

test("follows the newest branch, or the chosen one", () => {
	const all = [m("q", null, 1), m("a", "q", 2), m("a2", "q", 3), m("r", "a", 4), m("r2", "a2", 5)];
	expect(ids(all)).toEqual(["q", "a2", "r2"]);
	expect(ids(all, [["q", "a"]])).toEqual(["q", "a", "r"]);
	expect(path(all, new Map())[1]).toMatchObject({ index: 1, siblings: ["a", "a2"] });
});
test("a changed first question is a sibling at the root", () => {
	expect(ids([m("q", null, 1), m("q2", null, 2)])).toEqual(["q2"]);
	expect(ids([m("q", null, 1), m("q2", null, 2)], [["", "q"]])).toEqual(["q"]);
});
test("survives orphans, unknown choices and loops", () => {
	expect(ids([m("x", "gone", 1), m("y", "x", 2)], [["x", "nobody"]])).toEqual(["x", "y"]);
	expect(ids([m("x", "y", 1), m("y", "x", 2)])).toEqual([]);
});

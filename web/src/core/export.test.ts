import { expect, test } from "vitest";
import type { Conversation, Message } from "../gen/api";
import { type ExportWords, fileName, lowered, toJson, toMarkdown } from "./export";

const c: Conversation = { id: "c", title: "Miete", model: "m", label: 1, created_ms: 0, changed_ms: 0, generating: false };
const say = (id: string, role: Message["role"], content: string, more: Partial<Message> = {}): Message => ({ id, parent: null, role, content, thinking: "", state: "done", label: 1, created_ms: 1000, ...more });
const w: ExportWords = { untitled: "Ohne Titel", question: "Frage", answer: (m) => `Antwort von ${m}, von einer KI geschrieben`, picture: (n) => `Bild ${n}`, stopped: "angehalten", failed: "abgebrochen", note: (d) => `Stand ${d}`, date: (ms) => `T${ms}` };
const NOW = Date.UTC(2026, 10, 28, 12);

test("Markdown: who said what, and that an AI wrote it", () => {
	const text = toMarkdown(c, [say("q", "user", "Wie hoch?", { pictures: [{ place: 0, type: "image/png", width: 1, height: 1 }] }), say("a", "assistant", "# Hoch\n\n900 Euro.\n", { model: "gemma", state: "stopped" })], w, 5);
	expect(text).toBe("# Miete\n\n_Stand T5_\n\n## Frage\n\n_T1000_\n\n_Bild 1_\n\nWie hoch?\n\n## Antwort von gemma, von einer KI geschrieben\n\n_T1000_\n\n### Hoch\n\n900 Euro.\n\n_angehalten_\n");
});

test("code is left as it is", () => {
	expect(lowered("# a\n```sh\n# no heading\n```\n## b\n#not\n~~~\n# c")).toBe("### a\n```sh\n# no heading\n```\n#### b\n#not\n~~~\n# c");
});

test("JSON: every message, and who wrote it", () => {
	const j = JSON.parse(toJson(c, [say("q", "user", "x"), say("a", "assistant", "y")], NOW)) as { format: string; version: number; exported: string; conversation: Conversation; messages: { id: string; written_by: string }[] };
	expect([j.format, j.version, j.exported, j.conversation.title]).toEqual(["tresor.conversation", 1, "2026-11-28T12:00:00.000Z", "Miete"]);
	expect(j.messages.map((m) => [m.id, m.written_by])).toEqual([["q", "person"], ["a", "ai"]]);
});

test("file names hold nothing that a file system minds", () => {
	expect(fileName("../Häuser: a/b?", "md", NOW)).toBe("2026-11-28-Häuser-a-b.md");
	expect(fileName("…", "json", NOW)).toBe("2026-11-28.json");
	expect(fileName("x".repeat(300), "md", NOW)).toHaveLength(10 + 1 + 60 + 3);
});

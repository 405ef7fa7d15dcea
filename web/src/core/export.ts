/* A conversation as a file for other programs. What an AI wrote says so, in the words of the reader
 * and in a field for programs. */
import type { Conversation, Message } from "../gen/api";

export interface ExportWords {
	untitled: string;
	question: string;
	answer: (model: string) => string; /* "Answer of x, written by an AI" */
	picture: (place: number) => string;
	stopped: string;
	failed: string;
	note: (date: string) => string;
	date: (ms: number) => string;
}

/* Headings of an answer stand below those of the file, also where they are in none of its code. */
export function lowered(text: string): string {
	let fence = "";
	return text
		.split("\n")
		.map((line) => {
			const f = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1];
			if (f && fence === "") fence = f;
			else if (f && f[0] === fence[0] && f.length >= fence.length && /^\s*[`~]+\s*$/.test(line)) fence = "";
			else if (fence === "" && /^#{1,4} /.test(line)) return `##${line}`;
			return line;
		})
		.join("\n");
}

export function toMarkdown(c: Conversation, path: readonly Message[], w: ExportWords, now: number): string {
	const parts = [`# ${c.title || w.untitled}`, `_${w.note(w.date(now))}_`];
	for (const m of path) {
		if (m.role === "system") continue;
		parts.push(`## ${m.role === "user" ? w.question : w.answer(m.model ?? "")}\n\n_${w.date(m.created_ms)}_`);
		for (const p of m.pictures ?? []) parts.push(`_${w.picture(p.place + 1)}_`);
		if (m.content !== "") parts.push(lowered(m.content.trimEnd()));
		if (m.state === "stopped") parts.push(`_${w.stopped}_`);
		if (m.state === "failed") parts.push(`_${w.failed}_`);
	}
	return `${parts.join("\n\n")}\n`;
}

/* All branches, as the API tells them. */
export function toJson(c: Conversation, messages: readonly Message[], now: number): string {
	const said = messages.map((m) => ({ ...m, written_by: m.role === "assistant" ? "ai" : "person" }));
	return `${JSON.stringify({ format: "tresor.conversation", version: 1, exported: new Date(now).toISOString(), conversation: c, messages: said }, null, "\t")}\n`;
}

/* A name that every file system takes. */
export function fileName(title: string, ending: string, now: number): string {
	const d = new Date(now);
	const day = `${d.getFullYear()}-${String(d.getMonth() + 1).padStart(2, "0")}-${String(d.getDate()).padStart(2, "0")}`;
	const name = title
		.normalize("NFC")
		.replace(/[^\p{L}\p{N}]+/gu, "-")
		.replace(/^-+|-+$/g, "")
		.slice(0, 60);
	return `${day}${name ? `-${name}` : ""}.${ending}`;
}

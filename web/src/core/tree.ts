/* Messages form a tree by `parent`; the page shows one path through it.
 * Without a choice the path ends at the newest leaf. */
import type { Message } from "../gen/api";

export interface Step {
	message: Message;
	index: number; /* among its siblings, from 0 */
	siblings: string[]; /* ids, oldest first */
}

const ROOT = "";

export function byParent(messages: readonly Message[]): Map<string, Message[]> {
	const known = new Set(messages.map((m) => m.id));
	const out = new Map<string, Message[]>();
	for (const m of messages) {
		/* an answer whose question is not here (yet) still has a place: at the root */
		const key = m.parent !== null && known.has(m.parent) ? m.parent : ROOT;
		const list = out.get(key);
		if (list) list.push(m);
		else out.set(key, [m]);
	}
	for (const list of out.values()) list.sort((a, b) => a.created_ms - b.created_ms);
	return out;
}

/* `choice`: parent id ("" = root) -> chosen child; without one the newest child is taken. */
export function path(messages: readonly Message[], choice: ReadonlyMap<string, string>): Step[] {
	const children = byParent(messages);
	const steps: Step[] = [];
	const seen = new Set<string>();
	let key = ROOT;
	for (;;) {
		const list = children.get(key);
		if (!list || list.length === 0) return steps;
		const wanted = choice.get(key);
		let index = list.findIndex((m) => m.id === wanted);
		if (index < 0) index = list.length - 1;
		const message = list[index];
		if (!message || seen.has(message.id)) return steps;
		seen.add(message.id);
		steps.push({ message, index, siblings: list.map((m) => m.id) });
		key = message.id;
	}
}

/* The choice that shows a message: parent -> child from the root down to it. Empty: it is not here. */
export function branchOf(messages: readonly Message[], id: string): Map<string, string> {
	const known = new Map(messages.map((m) => [m.id, m]));
	const out = new Map<string, string>();
	for (let m = known.get(id); m; m = m.parent !== null ? known.get(m.parent) : undefined) {
		const parent = m.parent !== null && known.has(m.parent) ? m.parent : ROOT;
		if (out.has(parent)) break; /* a ring: the data is damaged */
		out.set(parent, m.id);
	}
	return out;
}

/* Figures of the page on load, without a page. */
import type { Fleet, FleetModel } from "../gen/api";

export interface MemoryPart {
	key: string;
	kind: "model" | "other" | "free";
	name: string;
	index: number; /* of models: which colour */
	bytes: number;
	from: number; /* where it begins, of 1 */
	share: number;
}

/* How the machine's memory is used: each loaded model, everything else, what is free. A model's mapped
 * file counts as free for the kernel but is drawn as the model's; the parts add up to the whole. */
export function memoryParts(fleet: Fleet): MemoryPart[] {
	const all = Math.max(1, fleet.machine.memory);
	const ready = fleet.models.filter((m) => m.state === "ready" && m.processor === "cpu").toSorted((a, b) => a.name.localeCompare(b.name));
	const sizes = ready.map((m) => m.resident_bytes || m.model_bytes + m.kv_bytes);
	const models = Math.min(all, sizes.reduce((a, b) => a + b, 0));
	const free = Math.min(fleet.machine.memory_free, all - models);
	const out: MemoryPart[] = [];
	let from = 0;
	const add = (kind: MemoryPart["kind"], name: string, index: number, bytes: number) => {
		if (bytes <= 0) return;
		const share = Math.min(bytes / all, 1 - from);
		out.push({ key: `${kind}:${name}`, kind, name, index, bytes, from, share });
		from += share;
	};
	ready.forEach((m, i) => add("model", m.name, i, sizes[i] ?? 0));
	add("other", "", 0, all - models - free);
	add("free", "", 0, free);
	return out;
}

/* Of the prompt tokens asked for, how many did not have to be read; null before the first. */
export function cacheShare(m: Pick<FleetModel, "tokens_in" | "tokens_cached">): number | null {
	const asked = m.tokens_in + m.tokens_cached;
	return asked > 0 ? m.tokens_cached / asked : null;
}

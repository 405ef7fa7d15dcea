/* The list of models as people look at it, without a page: names with their kept versions, search,
 * what uses a version, what of the table of known models is here. */
import type { Advice, Alias, FleetModel, Model, Trial } from "../gen/api";

export const CHANNELS = ["production", "candidate", "previous"] as const;
export type Channel = (typeof CHANNELS)[number];

export interface Entry {
	model: Model;
	kept: Model[]; /* versions that the name stood for before */
}

/* "gemma3:4b@sha256:..." -> "gemma3:4b" */
export function baseName(name: string): string {
	const at = name.indexOf("@sha256:");
	return at < 0 ? name : name.slice(0, at);
}

/* Aliases are left out: they have their own list. A version whose name is gone stands for itself. */
export function entries(list: readonly Model[]): Entry[] {
	const own = list.filter((m) => m.alias_of === undefined);
	const out = new Map<string, Entry>();
	for (const m of own) if (!m.kept) out.set(m.name, { model: m, kept: [] });
	for (const m of own) {
		if (!m.kept) continue;
		const of = out.get(baseName(m.name));
		if (of) of.kept.push(m);
		else out.set(m.name, { model: m, kept: [] });
	}
	return [...out.values()].sort((a, b) => a.model.name.localeCompare(b.model.name));
}

/* Every word must be found somewhere: in the name, what it is, what it can do, its licence. */
export function found(m: Model, text: string): boolean {
	const words = text.toLowerCase().split(/\s+/).filter(Boolean);
	const all = [m.name, m.family, m.parameters, m.quantization, m.licence ?? "", m.digest, ...(m.capabilities ?? [])].join("\n").toLowerCase();
	return words.every((w) => all.includes(w));
}

export interface Use {
	alias: string;
	channel: Channel;
}
/* The aliases that name this version. */
export function usesOf(digest: string, aliases: readonly Alias[]): Use[] {
	return aliases.flatMap((a) => CHANNELS.filter((c) => a[c]?.digest === digest).map((channel) => ({ alias: a.name, channel })));
}
/* Trials in which this version was asked, by alias. */
export function trialsOf(digest: string, trials: ReadonlyMap<string, readonly Trial[]>): Array<{ alias: string; n: number }> {
	return [...trials].map(([alias, list]) => ({ alias, n: list.filter((t) => t.old_digest === digest || t.new_digest === digest).length })).filter((x) => x.n > 0);
}

/* Is this row of the table here already? By the name it would get, or by the one it comes from. */
export function isHere(a: Advice, list: readonly Model[]): boolean {
	const names = new Set([a.name, a.source].flatMap((n) => [n, `${n}:latest`]).map((n) => n.toLowerCase()));
	return list.some((m) => m.alias_of === undefined && names.has(m.name.toLowerCase()));
}

/* Tokens a second that one person got, from the time between two tokens; 0: nobody asked yet. */
export function measuredSpeed(m: Pick<FleetModel, "gap_p50_ms"> | undefined): number {
	return m && m.gap_p50_ms > 0 ? 1000 / m.gap_p50_ms : 0;
}

/* What a promotion still needs. */
export const PROMPTS_MIN = 20;
export type Step = "candidate" | "prompts" | "trial" | "running" | "decision" | "promote" | "none";
/* The next thing to do with an alias: the way from a candidate to production, one step at a time. */
export function nextStep(a: Alias, prompts: number, trials: readonly Trial[]): Step {
	const { production, candidate } = a;
	if (!production || !candidate) return "candidate";
	if (candidate.digest === production.digest) return "none";
	const mine = trials.filter((t) => t.old_digest === production.digest && t.new_digest === candidate.digest);
	if (trials.some((t) => t.state === "running")) return "running";
	if (mine.some((t) => t.state === "accepted" && t.answered >= PROMPTS_MIN)) return "promote";
	if (mine[0]?.state === "done" && mine[0].answered >= PROMPTS_MIN) return "decision";
	return prompts < PROMPTS_MIN ? "prompts" : "trial";
}

/* Prompts that were pasted: parts between empty lines, or, without any, single lines. */
export function splitPrompts(text: string): string[] {
	const clean = text.replace(/\r\n?/g, "\n").trim();
	if (clean === "") return [];
	const parts = /\n[ \t]*\n/.test(clean) ? clean.split(/\n(?:[ \t]*\n)+/) : clean.split("\n");
	return [...new Set(parts.map((p) => p.trim()).filter(Boolean))];
}

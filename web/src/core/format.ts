/* Numbers, sizes and times for people, in their language. */

export type Language = "de" | "en";

export function number(n: number, language: Language, digits = 0): string {
	return new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(n);
}

/* 1 kB = 1000 bytes, as on the packages of disks and in the lists of models. */
export function bytes(n: number, language: Language): string {
	const units = ["B", "kB", "MB", "GB", "TB"];
	let i = 0;
	let v = n;
	while (v >= 999.5 && i < units.length - 1) {
		v /= 1000;
		i++;
	}
	return `${number(v, language, i >= 3 && v < 100 ? 1 : 0)}\u00a0${units[i]}`;
}

export function seconds(ms: number, language: Language): string {
	if (ms < 1000) return `${number(ms, language)}\u00a0ms`;
	return `${number(ms / 1000, language, 1)}\u00a0s`;
}

export function dateTime(ms: number, language: Language): string {
	return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(ms);
}
export function dateOnly(ms: number, language: Language): string {
	return new Intl.DateTimeFormat(language, { dateStyle: "medium" }).format(ms);
}
export function timeOnly(ms: number, language: Language): string {
	return new Intl.DateTimeFormat(language, { timeStyle: "short" }).format(ms);
}

export type DateGroup = { kind: "today" | "yesterday" | "week" | "month" } | { kind: "named"; year: number; month: number };

/* Which heading of the list a date stands under; days are those of the person's clock. */
export function dateGroup(ms: number, now: number): DateGroup {
	const day = (t: number) => {
		const d = new Date(t);
		return Date.UTC(d.getFullYear(), d.getMonth(), d.getDate()) / 86_400_000;
	};
	const ago = day(now) - day(ms);
	if (ago <= 0) return { kind: "today" };
	if (ago === 1) return { kind: "yesterday" };
	if (ago <= 7) return { kind: "week" };
	if (ago <= 30) return { kind: "month" };
	const d = new Date(ms);
	return { kind: "named", year: d.getFullYear(), month: d.getMonth() };
}

/* Items newest first -> headings with their items. */
export function groupByDate<T>(items: readonly T[], when: (t: T) => number, now: number): Array<{ key: string; group: DateGroup; items: T[] }> {
	const out: Array<{ key: string; group: DateGroup; items: T[] }> = [];
	for (const item of items) {
		const group = dateGroup(when(item), now);
		const key = group.kind === "named" ? `${group.year}-${group.month}` : group.kind;
		const last = out[out.length - 1];
		if (last?.key === key) last.items.push(item);
		else out.push({ key, group, items: [item] });
	}
	return out;
}

/* Two letters for a round badge. */
export function initials(name: string): string {
	const words = name.trim().split(/[\s@._-]+/).filter(Boolean);
	const first = [...(words[0] ?? "?")][0] ?? "?";
	const second = words.length > 1 ? ([...(words[words.length - 1] ?? "")][0] ?? "") : "";
	return (first + second).toUpperCase();
}

/* The search palette without a page: what is offered for what was typed. */

/* As people compare by eye: small letters, no accents, ß as ss. */
export function plain(text: string): string {
	return text.toLowerCase().normalize("NFD").replace(/\p{M}/gu, "").replace(/ß/g, "ss");
}

/* Every word of `typed` begins a word of `text`. */
export function fits(text: string, typed: string): boolean {
	const words = plain(text).split(/[^\p{L}\p{N}]+/u);
	return plain(typed)
		.split(/\s+/)
		.filter(Boolean)
		.every((w) => words.some((x) => x.startsWith(w)));
}

/* Where the marked row moves to; rows go round. -1: none is marked yet. */
export function moved(at: number, by: number, rows: number): number {
	if (rows === 0) return -1;
	if (at < 0) return by > 0 ? 0 : rows - 1;
	return (at + by + rows) % rows;
}

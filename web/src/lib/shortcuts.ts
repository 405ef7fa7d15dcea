/* Keys that work everywhere. Bound by `code` where a letter is meant, so that every keyboard has
 * them in one place; nothing needs AltGr, and no single letter acts while someone types. */
import type { Key } from "./i18n/index.svelte";

export type Act = "new" | "search" | "input" | "sidebar" | "models" | "previous" | "next" | "help" | "copy";
export interface Shortcut {
	act: Act | null; /* null: handled where it belongs; listed for people only */
	label: Key;
	keys: string[];
	hit?: (e: KeyboardEvent) => boolean;
}

const command = (e: KeyboardEvent) => (e.ctrlKey || e.metaKey) && !e.altKey;

export const shortcuts: Shortcut[] = [
	{ act: null, label: "shortcuts.send", keys: ["key.enter"] },
	{ act: null, label: "shortcuts.line", keys: ["key.shift", "key.enter"] },
	{ act: null, label: "shortcuts.stop", keys: ["Esc"] },
	{ act: "new", label: "shortcuts.new", keys: ["key.ctrl", "key.shift", "O"], hit: (e) => command(e) && e.shiftKey && e.code === "KeyO" },
	{ act: "search", label: "shortcuts.search", keys: ["key.ctrl", "K"], hit: (e) => command(e) && !e.shiftKey && e.code === "KeyK" },
	{ act: "input", label: "shortcuts.input", keys: ["key.shift", "Esc"], hit: (e) => e.shiftKey && e.key === "Escape" && !e.ctrlKey && !e.altKey },
	{ act: "models", label: "shortcuts.models", keys: ["key.ctrl", "key.shift", "M"], hit: (e) => command(e) && e.shiftKey && e.code === "KeyM" },
	{ act: "previous", label: "shortcuts.previous", keys: ["Alt", "↑"], hit: (e) => e.altKey && !e.ctrlKey && e.key === "ArrowUp" },
	{ act: "next", label: "shortcuts.next", keys: ["Alt", "↓"], hit: (e) => e.altKey && !e.ctrlKey && e.key === "ArrowDown" },
	{ act: "sidebar", label: "shortcuts.sidebar", keys: ["key.ctrl", "key.shift", "S"], hit: (e) => command(e) && e.shiftKey && e.code === "KeyS" },
	{ act: "help", label: "shortcuts.help", keys: ["key.ctrl", "."], hit: (e) => command(e) && !e.shiftKey && e.key === "." },
];

export function actFor(e: KeyboardEvent): Act | null {
	return shortcuts.find((s) => s.hit?.(e))?.act ?? null;
}
